import type { JsonSchema } from './rehearsal.text.js';

export interface ResponsesPart {
  type: string;
  text?: string;
}

/** What the rehearsal reads of an item of the input. */
export interface ResponsesItem {
  type?: string;
  role?: string;
  id?: string | null;
  call_id?: string | null;
  encrypted_content?: string | null;
  content?: string | readonly ResponsesPart[] | null;
  output?: unknown;
  tools?: readonly ResponsesTool[];
  [field: string]: unknown;
}

export interface ResponsesTool {
  type: string;
  name?: string;
  parameters?: JsonSchema | null;
  /** Of a namespace. */
  tools?: readonly ResponsesTool[];
  execution?: string;
  /** Of `image_generation`. */
  model?: string;
  size?: string;
  quality?: string;
  partial_images?: number;
  output_format?: string;
  background?: string;
}

/** What the rehearsal reads of a request for a response. */
export interface ResponsesBody {
  model?: string;
  input?: string | readonly ResponsesItem[] | null;
  instructions?: string | null;
  stream?: boolean | null;
  stream_options?: { include_obfuscation?: boolean } | null;
  include?: readonly string[] | null;
  max_output_tokens?: number | null;
  max_tool_calls?: number | null;
  previous_response_id?: string | null;
  conversation?: string | { id?: unknown } | null;
  parallel_tool_calls?: boolean | null;
  reasoning?: { effort?: string | null; summary?: string | null; generate_summary?: string | null } | null;
  text?: { format?: { type: string; schema?: JsonSchema }; verbosity?: string } | null;
  tools?: readonly ResponsesTool[] | null;
  tool_choice?: string | { type: string; name?: string; mode?: string; tools?: readonly ResponsesTool[] } | null;
  top_logprobs?: number | null;
  [parameter: string]: unknown;
}

export interface ResponsesUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** An item of the answer, as it is when it is whole. */
export interface OutputItem {
  id: string;
  type: string;
  [field: string]: unknown;
}
