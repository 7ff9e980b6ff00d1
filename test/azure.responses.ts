type Json = Record<string, unknown>;

/** `caught`: the filter catches the output at its end. `late`: of a stream, in an annotation after its words. */
export type AzureOutput = 'clean' | 'caught' | 'late';

const SAFE = { filtered: false, severity: 'safe' };
export const CLEAN = { hate: SAFE, self_harm: SAFE, sexual: SAFE, violence: SAFE };
export const CAUGHT = { ...CLEAN, violence: { filtered: true, severity: 'high' } };

const WORDS = ['fine', ' words', ' that', ' go', ' on'];
const REASONING = {
  id: 'rs_of_azure_000000000001',
  type: 'reasoning',
  summary: [],
  encrypted_content: 'gAAA-of-azure',
};
const MESSAGE_ID = 'msg_of_azure_00000000002';

const part = (text: string): Json => ({ type: 'output_text', text, annotations: [], logprobs: [] });
const message = (status: string, ...content: Json[]): Json => ({
  id: MESSAGE_ID,
  type: 'message',
  role: 'assistant',
  status,
  content,
});
/** In the response itself, as in Azure's specification (azure-rest-api-specs, pull request 42141). */
const filtersOf = (output: AzureOutput): Json[] => {
  const of = (source_type: string, results: Json): Json => ({
    blocked: results === CAUGHT,
    source_type,
    content_filter_results: results,
    content_filter_offsets: { check_offset: 0, start_offset: 0, end_offset: 10 },
  });
  return [of('prompt', CLEAN), of('completion', output === 'clean' ? CLEAN : CAUGHT)];
};

function begun({ model }: Json): Json {
  return {
    id: 'resp_of_azure',
    object: 'response',
    created_at: 1,
    status: 'in_progress',
    model,
    output: [],
    error: null,
    incomplete_details: null,
    usage: null,
  };
}

/** `late`: the words are out before the filter has looked at them. */
export function azureResponse(body: Json, output: AzureOutput): Json {
  const caught = output === 'caught';
  return {
    ...begun(body),
    status: caught ? 'incomplete' : 'completed',
    incomplete_details: caught ? { reason: 'content_filter' } : null,
    output: caught ? [] : [REASONING, message('completed', part(WORDS.join('')))],
    content_filters: filtersOf(output),
    usage: {
      input_tokens: 9,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 14,
    },
  };
}

export function* eventsOfResponse(body: Json, output: AzureOutput): Generator<Json> {
  let sequence_number = 0;
  const event = (type: string, more: Json): Json => ({ type, sequence_number: sequence_number++, ...more });
  const place = { item_id: MESSAGE_ID, output_index: 1, content_index: 0 };
  yield event('response.created', { response: begun(body) });
  yield event('response.in_progress', { response: begun(body) });
  yield event('response.output_item.added', { output_index: 0, item: REASONING });
  yield event('response.output_item.done', { output_index: 0, item: REASONING });
  yield event('response.output_item.added', { output_index: 1, item: message('in_progress') });
  yield event('response.content_part.added', { ...place, part: part('') });
  for (const delta of WORDS) yield event('response.output_text.delta', { ...place, delta, logprobs: [] });
  yield event('response.output_text.done', { ...place, text: WORDS.join(''), logprobs: [] });
  yield event('response.content_part.done', { ...place, part: part(WORDS.join('')) });
  yield event('response.output_item.done', { output_index: 1, item: message('completed', part(WORDS.join(''))) });
  const response = azureResponse(body, output);
  yield event(`response.${response.status as string}`, { response });
}
