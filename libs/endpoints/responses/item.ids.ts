/** How OpenAI begins the ids of these items ("Responses"). */
const PREFIXES: Readonly<Record<string, string>> = {
  message: 'msg',
  reasoning: 'rs',
  compaction: 'cmp',
  function_call: 'fc',
  function_call_output: 'fco',
  custom_tool_call: 'ctc',
  custom_tool_call_output: 'ctco',
  computer_call: 'cu',
  computer_call_output: 'cuo',
  local_shell_call: 'lsh',
  local_shell_call_output: 'lsho',
  shell_call: 'sh',
  shell_call_output: 'sho',
  apply_patch_call: 'apc',
  apply_patch_call_output: 'apco',
  web_search_call: 'ws',
  image_generation_call: 'ig',
};
const OTHER = 'item';

/** The id of an item of this type. `rest`: letters, digits, `_` and `-`. */
export function itemId(type: unknown, rest: string): string {
  const prefix = typeof type === 'string' && Object.hasOwn(PREFIXES, type) ? PREFIXES[type]! : OTHER;
  return `${prefix}_${rest}`;
}
