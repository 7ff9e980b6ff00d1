import assert from 'node:assert/strict';
import { openai } from '@ai-sdk/openai';
import * as ai from 'ai';
import { embedMany, generateImage, generateText, isStepCount, Output, streamText, tool } from 'ai';
import { z } from 'zod';
import { first, flagged, scenario, second, WEATHER } from './scenario.mjs';

const model = openai('gpt-5.4-mini');
const getWeather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: () => WEATHER,
});
const tools = { get_weather: getWeather };

await scenario('generateText, streamText', async () => {
  const messages = [{ role: 'user', content: first('Bern') }];
  const one = await generateText({ model, tools, stopWhen: isStepCount(4), messages });
  messages.push(...one.response.messages, { role: 'user', content: second });
  const two = streamText({ model, tools, stopWhen: isStepCount(4), messages });
  let text = '';
  let deltas = 0;
  for await (const delta of two.textStream) [text, deltas] = [text + delta, deltas + 1];
  return { city: 'Bern', turns: [one.text, text], deltas };
});

await scenario('Output.object', async () => {
  const format = Output.object({ schema: z.object({ city: z.string(), degrees: z.number() }) });
  const { output } = await generateText({ model, prompt: first('Zug'), output: format });
  assert.deepEqual(Object.keys(output), ['city', 'degrees']);
});

await scenario('embedMany', async () => {
  const embedding = openai.embedding('text-embedding-3-small');
  const { embeddings } = await embedMany({ model: embedding, values: ['Bern', 'Basel'] });
  assert.deepEqual([embeddings.length, embeddings[0].length], [2, 1_536]);
});

await scenario('generateSpeech, transcribe', async () => {
  const speak = ai.generateSpeech ?? ai.experimental_generateSpeech;
  const transcribe = ai.transcribe ?? ai.experimental_transcribe;
  const speech = openai.speech('gpt-4o-mini-tts');
  const { audio } = await speak({ model: speech, text: 'Hello.', voice: 'alloy', outputFormat: 'wav' });
  for (const name of ['whisper-1', 'gpt-4o-transcribe']) {
    const { text } = await transcribe({ model: openai.transcription(name), audio: audio.uint8Array });
    assert.ok(text.length > 10);
  }
});

await scenario('generateImage', async () => {
  const drawing = openai.image('gpt-image-2');
  const { images } = await generateImage({ model: drawing, prompt: first('Bern'), n: 2 });
  assert.deepEqual([images.length, images[0].mediaType], [2, 'image/png']);
  const prompt = { text: 'At night', images: [images[0].uint8Array] };
  const { image } = await generateImage({ model: drawing, prompt });
  assert.ok(image.uint8Array.length > 100);
});

await scenario('blocked', async () => {
  const stopped = streamText({ model, prompt: flagged });
  let shown = '';
  for await (const delta of stopped.textStream) shown += delta;
  return { shown, told: `finishReason: ${await stopped.finishReason}` };
});
