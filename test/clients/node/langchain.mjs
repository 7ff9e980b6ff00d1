import assert from 'node:assert/strict';
import { HumanMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';
import { first, flagged, scenario, second, WEATHER } from './scenario.mjs';

const getWeather = tool(() => WEATHER, {
  name: 'get_weather',
  description: 'The weather of a city',
  schema: z.object({ city: z.string() }),
});
const modelWith = (options) => new ChatOpenAI({ model: 'gpt-5.4-mini', ...options });

/** `previous`: each request has what is new, and names the answer before it. Else each has the whole history. */
async function turns(model, city, { previous = false } = {}) {
  const bound = model.bindTools([getWeather]);
  const texts = [];
  let history = [];
  let lastId;
  let deltas = 0;
  for (const question of [first(city), second]) {
    history.push(new HumanMessage(question));
    for (let answered = false; !answered;) {
      let message;
      for await (const chunk of await bound.stream(history, lastId ? { previous_response_id: lastId } : {})) {
        deltas += chunk.text === '' ? 0 : 1;
        message = message ? message.concat(chunk) : chunk;
      }
      if (previous) [lastId, history] = [message.response_metadata.id, []];
      else history.push(message);
      for (const call of message.tool_calls ?? []) history.push(await getWeather.invoke(call));
      answered = (message.tool_calls ?? []).length === 0;
      if (answered) texts.push(message.text);
    }
  }
  return { city, turns: texts, deltas };
}

await scenario('chat', () => turns(modelWith({}), 'Bern'));
await scenario('useResponsesApi', () => turns(modelWith({ useResponsesApi: true }), 'Basel'));
await scenario('reasoning', () => turns(modelWith({ reasoning: { effort: 'low', summary: 'auto' } }), 'Chur'));
await scenario('previous_response_id', () => turns(modelWith({ useResponsesApi: true }), 'Thun', { previous: true }));

await scenario('embedDocuments, embedQuery', async () => {
  const embeddings = new OpenAIEmbeddings({ model: 'text-embedding-3-small' });
  const documents = await embeddings.embedDocuments(['Bern', 'Basel']);
  const query = await embeddings.embedQuery('Bern');
  assert.deepEqual([documents.length, documents[0].length], [2, 1_536]);
  assert.deepEqual(query, documents[0]);
});

await scenario('blocked', async () => {
  let answer;
  const stream = await modelWith({ useResponsesApi: true }).stream(flagged);
  for await (const chunk of stream) answer = answer ? answer.concat(chunk) : chunk;
  return { shown: answer.text, told: answer.response_metadata.incomplete_details.reason };
});
