import type { JsonObject } from '../json.js';

const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'Weather of a city',
  parameters: {
    $schema: 'http://json-schema.org/draft-07/schema#',
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
  strict: null,
};
const call = {
  type: 'function_call',
  name: 'get_weather',
  call_id: 'call_88fa2e7c9f126eaf8be4c54b',
  arguments: '{"city":"Bern"}',
};
const output = { type: 'function_call_output', call_id: 'call_88fa2e7c9f126eaf8be4c54b', output: 'sunny' };
const summary = [{ type: 'summary_text', text: 'Thinking about the weather.' }];
const passthrough = { turn_id: '01a2188c-c677-7f21-b7a2-e4bbbd952e90', create_time: 1795708208.7 };
const answer = {
  type: 'message',
  id: 'msg_ddb08c19f6b34e9ababfdcfa954eec95663df817',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'It is sunny in Bern.', annotations: [], logprobs: [] }],
};

/** Second turns as clients sent them in November 2026 to a double of OpenAI; texts are cut short. */
export const CLIENT_REQUESTS: [string, JsonObject & { model: string }][] = [
  [
    'Codex 0.171',
    {
      model: 'gpt-5.4-mini',
      stream: true,
      input: [
        {
          type: 'message',
          id: 'msg_6660380e-7ddd-5261-af70-c17956a06f00',
          role: 'developer',
          content: [{ type: 'input_text', text: 'You are a coding agent.' }],
          internal_chat_message_metadata_passthrough: { content_item_kinds: ['model.base_instructions'] },
        },
        {
          type: 'additional_tools',
          id: 'at_01a2188d-0b9a-7df3-960b-6932d10e6c79',
          role: 'developer',
          tools: [
            {
              type: 'namespace',
              name: 'functions',
              description: '',
              tools: [
                {
                  type: 'custom',
                  name: 'exec',
                  description: 'Runs.',
                  format: { type: 'grammar', syntax: 'lark', definition: 'start: x' },
                },
                { ...weather, strict: false },
              ],
            },
          ],
        },
        {
          type: 'reasoning',
          id: 'rs_cb311fc3bd76e176434aba8094b5ae4754e15533',
          summary,
          content: null,
          encrypted_content: 'gAAAAMRxHU_R3gO_kke4wDskH0znizHprheDbppnQxgQ4Ba-w678kfO-K-26kZbsQwzk1k',
          internal_chat_message_metadata_passthrough: passthrough,
        },
        { ...call, id: 'fc_1', internal_chat_message_metadata_passthrough: passthrough },
        { ...output, internal_chat_message_metadata_passthrough: passthrough },
        {
          type: 'compaction',
          id: 'cmp_026076b6853fd69203ff6b7107d6a79e19b50be2',
          encrypted_content: 'gAAAANwW3Xitd0B-V0BaBJV8scTw',
        },
        { type: 'compaction_trigger' },
      ],
      tools: [
        {
          type: 'namespace',
          name: 'multi_agent_v1',
          description: 'Sub-agents.',
          tools: [{ ...weather, strict: false }],
        },
        { type: 'web_search', external_web_access: false },
      ],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      reasoning: { summary: 'auto', context: 'all_turns' },
      store: false,
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: '01a2188c-c658-7d83-b648-313e28a37ac0',
      client_metadata: { session_id: '01a2188c-c658-7d83-b648-313e28a37ac0', mcp_attribution: '{"status":"none"}' },
    },
  ],
  [
    'the AI SDK 7',
    {
      model: 'gpt-5.4-mini',
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'How is the weather in Bern?' }] },
        { type: 'item_reference', id: 'rs_e4c1ba962cb3a2ab8cc06fc2248ec45f560fa166' },
        call,
        output,
      ],
      tools: [{ ...weather, strict: false }],
      tool_choice: 'auto',
    },
  ],
  [
    'the Agents SDK 0.20',
    {
      model: 'gpt-5.6-luna',
      instructions: 'Answer in one sentence.',
      input: [
        { role: 'user', content: 'How is the weather in Bern?' },
        { id: 'rs_cb311fc3bd76e176434aba8094b5ae4754e15533', type: 'reasoning', summary },
        { id: 'fc_3a4d7fdf4f96daea4345b87c869e9d998ee0f10c', status: 'completed', ...call },
        { status: 'completed', ...output },
        answer,
        { role: 'user', content: 'And in Basel?', id: 'msg_a0b11eff70490f6cff3a8768e5649728d77ed256' },
      ],
      include: [],
      tools: [{ ...weather, strict: true }],
      stream: false,
      text: { verbosity: 'low' },
      reasoning: { effort: 'none' },
    },
  ],
  [
    'LangChain 1.5',
    {
      model: 'gpt-5.4-mini',
      stream: true,
      tools: [weather],
      text: {},
      input: [
        { type: 'message', role: 'user', content: 'How is the weather in Bern?' },
        { type: 'reasoning', id: 'rs_86d7b75a2320d308b14a2f94caa8fdcdff08b7c9', summary },
        { id: 'fc_85f8b23e324e481e5405a59e913c0f92849c5c58', status: 'completed', ...call },
        output,
      ],
    },
  ],
  [
    'openai 7, with a tool that it ran itself',
    {
      model: 'gpt-5.4-mini',
      stream: true,
      tools: [weather],
      input: [{ ...call, id: 'fc_1', parsed_arguments: { city: 'Bern' } }, output],
    },
  ],
  [
    'opencode 1.18',
    {
      model: 'gpt-5.4-nano',
      input: [
        { role: 'developer', content: 'You are a title generator.' },
        { role: 'assistant', content: [{ type: 'output_text', text: 'It is sunny in Bern.' }] },
      ],
      max_output_tokens: 32_000,
      temperature: 0.5,
      stream: true,
    },
  ],
];
