import { quoted, type Snippet } from '../../shared/snippets.js';
import type { ChatRequest } from './chat.js';

/** As Python writes it. JSON differs in three words, and a text cannot hold them outside of its quotes. */
function pythonOf(value: unknown, indent: string): string {
  if (Array.isArray(value)) {
    const items = value.map((item) => `${indent}    ${pythonOf(item, `${indent}    `)},\n`);
    return items.length === 0 ? '[]' : `[\n${items.join('')}${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${pythonOf(inner, indent)}`);
    return `{${fields.join(', ')}}`;
  }
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return value === null ? 'None' : JSON.stringify(value);
}

const nodeOf = (value: unknown): string => JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');

/** The same call in a shell, in Node and in Python. `baseUrl`: with `/v1`. */
export function snippetsOf({ baseUrl, key }: { baseUrl: string; key: string }, request: ChatRequest): Snippet[] {
  const { stream_options: _, ...asked } = request;
  const fields = Object.entries(asked);
  return [
    {
      label: 'curl',
      text: [
        `curl -N ${baseUrl}/chat/completions \\`,
        `  -H "Authorization: Bearer ${key}" \\`,
        '  -H "Content-Type: application/json" \\',
        `  -d ${quoted(JSON.stringify(asked))}`,
      ].join('\n'),
    },
    {
      label: 'Node',
      text: [
        '// npm install openai',
        "import OpenAI from 'openai';",
        `const client = new OpenAI({ baseURL: ${JSON.stringify(baseUrl)}, apiKey: '${key}' });`,
        'const stream = await client.chat.completions.create({',
        ...fields.map(([name, value]) => `  ${name}: ${nodeOf(value)},`),
        '});',
        "for await (const { choices } of stream) process.stdout.write(choices[0]?.delta?.content ?? '');",
      ].join('\n'),
    },
    {
      label: 'Python',
      text: [
        '# pip install openai',
        'from openai import OpenAI',
        `client = OpenAI(base_url=${JSON.stringify(baseUrl)}, api_key="${key}")`,
        'stream = client.chat.completions.create(',
        ...fields.map(([name, value]) => `    ${name}=${pythonOf(value, '    ')},`),
        ')',
        'for chunk in stream:',
        '    if chunk.choices:',
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
      ].join('\n'),
    },
  ];
}
