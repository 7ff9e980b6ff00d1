import { describe, expect, it } from '@jest/globals';
import type { UpstreamTraits } from './endpoint.js';
import type { JsonObject } from './json.js';
import { RESPONSES } from './responses/responses.endpoint.js';
import { textFileIn, writtenFile } from './text.file.js';

const b64 = (text: string): string => Buffer.from(text).toString('base64');
const file = (data: string, more: object = {}): JsonObject => ({ type: 'input_file', file_data: data, ...more });
const requestOf = (part: JsonObject) =>
  RESPONSES.parse({ json: { model: 'm', input: [{ role: 'user', content: [part] }] }, blobs: [] });
const bodyOf = (part: JsonObject) =>
  RESPONSES.forwarded(requestOf(part), { serviceTier: 'default', safetyIdentifier: 'v', cacheKey: 'v' });
const FIRST: UpstreamTraits = { kind: 'openai', drops: [], tag: '' };
const sentOf = (body: ReturnType<typeof bodyOf>): string =>
  JSON.stringify(RESPONSES.call(body, { capTokens: 16, facts: {} }, FIRST).body.json);

describe('a text file', () => {
  it('is read whatever its type is called, and written as it was judged', () => {
    for (const url of [
      `data:text/plain;base64,${b64('naïve')}`,
      `data:text/plain;charset=UTF-8;base64,${b64('\ufeffnaïve')}`,
      `data:text/markdown; charset=utf-8;base64,${b64('naïve')}`,
      `data:application/json;base64,${b64('naïve')}`,
      `data:text/csv;base64,${b64('naïve')}`,
      `data:text/tab-separated-values;base64,${b64('naïve')}`,
      `data:text/html;base64,${b64('naïve')}`,
      `data:text/x-python;charset=us-ascii;base64,${b64('naïve')}`,
    ]) {
      const read = textFileIn(url)!;
      expect(read).toEqual({ text: 'naïve', isSaid: true });
      expect(textFileIn(writtenFile(read.text))).toEqual(read);
    }
  });

  it.each([
    'hello',
    'https://example.org/a.txt',
    `data:application/pdf;base64,${b64('%PDF')}`,
    `data:image/png;base64,${b64('x')}`,
    `data:text/plain;base64,${b64('%PDF-1.7 all in letters')}`,
    `data:text/plain;base64,${b64(String.raw`{\rtf1 \'68\'69}`)}`,
    `data:text/rtf;base64,${b64('hi')}`,
    `data:application/vnd.openxmlformats-officedocument.spreadsheetml.sheet;base64,${b64('a,b')}`,
    `data:text/plain;base64,${b64('a\0b')}`,
    `data:text/plain,${b64('x')}`,
    `data:text/plain;charset=utf-16;base64,${b64('x')}`,
    `data:text/plain;base64,${Buffer.from([0xff, 0xfe, 0x41]).toString('base64')}`,
  ])('is not %s, which is refused by name', (url) => {
    expect(textFileIn(url)).toBeNull();
    expect(() => requestOf(file(url))).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'input[0].content[0].file_data' }),
    );
  });

  it.each([
    ['report.csv', 'data:text/csv;base64,'],
    ['Report.CSV', 'data:application/vnd.ms-excel;base64,'],
    ['notes.tsv', 'data:application/octet-stream;base64,'],
    ['main.py', 'data:application/octet-stream;base64,'],
    ['page.html', 'data:text/html;base64,'],
    ['data.pdf', 'data:text/plain;base64,'],
  ])(
    'called %s goes on as plain text, in its type and its name, so that nobody reads it as anything else',
    (filename, head) => {
      const part = file(`${head}${b64('a,b\n1,2')}`, { filename });
      const body = bodyOf(part);
      const [{ content }] = (body.json as { input: [{ content: [JsonObject] }] }).input;
      const written = { filename: `${filename}.txt`, file_data: `data:text/plain;base64,${b64('a,b\n1,2')}` };
      expect(content[0]).toMatchObject(written);
      expect(bodyOf(content[0]).json).toEqual(body.json);
      for (const text of [`${filename}.txt`, 'a,b\n1,2'])
        expect(RESPONSES.input(body)[0]).toMatchObject({ text: expect.stringContaining(text) });
    },
  );

  it.each([
    ['a table of an office program', 'data:application/vnd.ms-excel;base64,', 'table.xls'],
    ['a file without a name', 'data:application/octet-stream;base64,', undefined],
    ['a PDF', 'data:application/pdf;base64,', 'paper.pdf'],
  ])('is not %s, and the error says what to send instead', (_, head, filename) => {
    expect(() => requestOf(file(`${head}${b64('words')}`, filename === undefined ? {} : { filename }))).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        param: 'input[0].content[0].file_data',
        message: expect.stringMatching(/input_text.*input_image/),
      }),
    );
  });

  it('is judged, counted and forwarded as the text in it, with its name', async () => {
    const part = file(`data:text/plain;base64,${b64('the words of the file')}`, { filename: 'secret.txt' });
    const body = bodyOf(part);
    const judged = JSON.stringify(RESPONSES.input(body));
    for (const what of ['the words of the file', 'secret.txt']) expect(judged).toContain(what);
    const counted: string[] = [];
    await RESPONSES.measure(requestOf(part), {
      countTokens: (texts) => Promise.resolve(counted.push(...texts)),
      toolTokens: 0,
    });
    expect(counted.join('\n')).toContain('the words of the file');
    expect(sentOf(body)).toContain(b64('the words of the file'));
    const redacted = RESPONSES.redactedInput(body, [{ find: 'words', replace: '[out]' }]);
    expect(sentOf(redacted)).toContain(b64('the [out] of the file'));
  });

  it.each(['file_id', 'file_url'])('that %s names is refused', (field) => {
    const part = file(`data:text/plain;base64,${b64('x')}`, { [field]: 'file-1' });
    expect(() => requestOf(part)).toThrow(expect.objectContaining({ param: `input[0].content[0].${field}` }));
  });
});
