import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { first, flagged, scenario, second, WEATHER } from './scenario.mjs';

const client = new OpenAI();
const model = 'gpt-5.4-mini';
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const description = 'The weather of a city';
const tools = [{ type: 'function', name: 'get_weather', description, strict: true, parameters }];
const outputsOf = ({ output }) =>
  output
    .filter(({ type }) => type === 'function_call')
    .map(({ call_id }) => ({ type: 'function_call_output', call_id, output: WEATHER }));

await scenario('previous_response_id', chain);
await scenario('items with ids', items);
await scenario('conversation', conversation);
await scenario('retrieve, input_items, delete', shelf);
await scenario('parse', parse);
await scenario('chat runTools', chat);
await scenario('embeddings', embeddings);
await scenario('speech, transcriptions', sound);
await scenario('images generate, edit', images);
await scenario('blocked', blocked);

/** Whole, then streamed; each request names the answer before it. */
async function chain() {
  const asked = await client.responses.create({ model, tools, input: first('Bern') });
  assert.equal(asked.status, 'completed');
  assert.match(asked._request_id, /^req_/);
  const one = await client.responses.create({ model, tools, previous_response_id: asked.id, input: outputsOf(asked) });
  const again = await client.responses
    .stream({ model, tools, previous_response_id: one.id, input: second })
    .finalResponse();
  const stream = client.responses.stream({ model, tools, previous_response_id: again.id, input: outputsOf(again) });
  let deltas = 0;
  for await (const event of stream) if (event.type === 'response.output_text.delta') deltas++;
  const two = await stream.finalResponse();
  assert.equal(two.status, 'completed');
  assert.equal(two.previous_response_id, again.id);
  return { city: 'Bern', turns: [one.output_text, two.output_text], deltas };
}

/** As the API's guide has it: what an answer put out goes back as input, with its ids. */
async function items() {
  const input = [{ role: 'user', content: first('Basel') }];
  const texts = [];
  for (const question of [undefined, second]) {
    if (question) input.push({ role: 'user', content: question });
    const asked = await client.responses.stream({ model, tools, input }).finalResponse();
    input.push(...asked.output, ...outputsOf(asked));
    const answer = await client.responses.create({ model, tools, input });
    input.push(...answer.output);
    texts.push(answer.output_text);
  }
  return { city: 'Basel', turns: texts };
}

async function conversation() {
  const { id } = await client.conversations.create();
  const texts = [];
  for (const input of [first('Chur'), second]) {
    const asked = await client.responses.create({ model, tools, conversation: id, input });
    const answer = await client.responses
      .stream({ model, tools, conversation: id, input: outputsOf(asked) })
      .finalResponse();
    assert.equal(answer.conversation.id, id);
    texts.push(answer.output_text);
  }
  const listed = [];
  for await (const item of client.conversations.items.list(id, { order: 'asc' })) listed.push(item.type);
  assert.equal(listed.filter((type) => type === 'function_call_output').length, 2);
  assert.equal(listed.filter((type) => type === 'message').length, 4);
  return { city: 'Chur', turns: texts };
}

/** What is kept can be read, and is gone once it is deleted. */
async function shelf() {
  const answer = await client.responses.create({ model, input: first('Genf'), metadata: { topic: 'weather' } });
  const kept = await client.responses.retrieve(answer.id);
  assert.deepEqual([kept.id, kept.output_text, kept.metadata], [answer.id, answer.output_text, { topic: 'weather' }]);
  const inputs = await client.responses.inputItems.list(answer.id);
  assert.equal(inputs.data[0].content[0].text, first('Genf'));
  await client.responses.delete(answer.id);
  await assert.rejects(client.responses.retrieve(answer.id), OpenAI.NotFoundError);
}

async function parse() {
  const format = zodTextFormat(z.object({ city: z.string(), degrees: z.number() }), 'weather');
  const answer = await client.responses.parse({ model, input: first('Zug'), text: { format } });
  assert.deepEqual(Object.keys(answer.output_parsed), ['city', 'degrees']);
}

async function chat() {
  const getWeather = { name: 'get_weather', description, parameters, parse: JSON.parse, function: () => WEATHER };
  const messages = [{ role: 'user', content: first('Thun') }];
  const chatTools = [{ type: 'function', function: getWeather }];
  const texts = [];
  for (const question of [undefined, second]) {
    if (question) messages.push({ role: 'user', content: question });
    const runner = client.chat.completions.runTools({ model, messages, tools: chatTools, stream: true });
    texts.push(await runner.finalContent());
    messages.splice(0, messages.length, ...runner.messages);
  }
  return { city: 'Thun', turns: texts };
}

/** The client asks for base64 by itself and decodes it. */
async function embeddings() {
  const ask = (more) =>
    client.embeddings.create({ model: 'text-embedding-3-small', input: ['Bern', 'Basel'], ...more });
  const [asked, floats] = [await ask({}), await ask({ encoding_format: 'float' })];
  assert.equal(asked.data[0].embedding.length, 1_536);
  for (const [index, { embedding }] of asked.data.entries())
    embedding.forEach((value, at) => assert.ok(Math.abs(value - floats.data[index].embedding[at]) < 1e-6));
  assert.notDeepEqual(asked.data[0].embedding, asked.data[1].embedding);
}

/** What was spoken is heard: whole in each form, and in a stream. */
async function sound() {
  const speech = await client.audio.speech.create({
    model: 'gpt-4o-mini-tts',
    voice: 'alloy',
    input: 'Hello.',
    response_format: 'wav',
  });
  const file = await toFile(await speech.arrayBuffer(), 'speech.wav');
  const hear = (more) => client.audio.transcriptions.create({ model: 'whisper-1', file, ...more });
  const { text } = await hear({});
  assert.match(await hear({ response_format: 'srt' }), /^1\n00:00:00,000 --> /);
  assert.equal((await hear({ response_format: 'verbose_json' })).text, text);
  let heard = '';
  const stream = await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file, stream: true });
  for await (const event of stream) if (event.type === 'transcript.text.delta') heard += event.delta;
  assert.equal(heard, text);
}

/** Made whole and as a stream, then changed: from one file, and from two with a mask. */
async function images() {
  const asked = { model: 'gpt-image-2', quality: 'low', prompt: first('Bern') };
  const made = await client.images.generate({ ...asked, n: 2 });
  assert.equal(made.data.length, 2);
  const file = (index) => toFile(Buffer.from(made.data[index].b64_json, 'base64'), 'weather.png');
  const types = [];
  for await (const event of await client.images.generate({ ...asked, stream: true, partial_images: 1 }))
    types.push(event.type);
  assert.deepEqual(types, ['image_generation.partial_image', 'image_generation.completed']);
  const one = await client.images.edit({ ...asked, image: await file(0) });
  const two = await client.images.edit({ ...asked, image: [await file(0), await file(1)], mask: await file(0) });
  assert.ok(two.usage.input_tokens_details.image_tokens > one.usage.input_tokens_details.image_tokens);
}

async function blocked() {
  const streamed = await client.responses.stream({ model, input: flagged }).finalResponse();
  const whole = await client.responses.create({ model, input: `${flagged} Please.` });
  for (const answer of [streamed, whole])
    assert.deepEqual([answer.status, answer.incomplete_details?.reason], ['incomplete', 'content_filter']);
  const told = `${streamed.status}: ${streamed.incomplete_details.reason}`;
  return { shown: `${streamed.output_text}${whole.output_text}`, told };
}
