export interface SnippetWish {
  /** With `/v1`. */
  baseUrl: string;
  key: string;
  models: readonly string[];
  /** The operator's own, with `{base_url}`, `{key}` and `{model}`. */
  own: { label: string; text: string } | null;
}

export interface Snippet {
  label: string;
  text: string;
}

const isForEmbeddings = (model: string): boolean => model.includes('embedding');
/** For a POSIX shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The same first call in five forms. A campaign of embeddings alone gets a call that embeds. */
export function snippetsFor({ baseUrl, key, models, own }: SnippetWish): Snippet[] {
  const model = models.find((one) => !isForEmbeddings(one)) ?? models[0] ?? '';
  const embeds = isForEmbeddings(model);
  const [path, body] = embeds
    ? ['embeddings', { model, input: 'Hello' }]
    : ['chat/completions', { model, messages: [{ role: 'user', content: 'Say hello' }] }];
  const name = JSON.stringify(model);
  const url = JSON.stringify(baseUrl);
  const node = embeds
    ? [
        `const answer = await client.embeddings.create({ model: ${name}, input: 'Hello' });`,
        'console.log(answer.data[0].embedding.length);',
      ]
    : [
        'const answer = await client.chat.completions.create({',
        `  model: ${name},`,
        "  messages: [{ role: 'user', content: 'Say hello' }],",
        '});',
        'console.log(answer.choices[0].message.content);',
      ];
  const python = embeds
    ? [`answer = client.embeddings.create(model=${name}, input="Hello")`, 'print(len(answer.data[0].embedding))']
    : [
        'answer = client.chat.completions.create(',
        `    model=${name},`,
        '    messages=[{"role": "user", "content": "Say hello"}],',
        ')',
        'print(answer.choices[0].message.content)',
      ];
  const fill = (text: string): string =>
    text.replaceAll(/\{(base_url|key|model)\}/g, (_, word: string) =>
      word === 'key' ? key : word === 'model' ? model : baseUrl,
    );
  return [
    ...(own ? [{ label: own.label, text: fill(own.text) }] : []),
    { label: '.env', text: `OPENAI_BASE_URL=${baseUrl}\nOPENAI_API_KEY=${key}` },
    {
      label: 'curl',
      text: [
        `curl ${baseUrl}/${path} \\`,
        `  -H "Authorization: Bearer ${key}" \\`,
        '  -H "Content-Type: application/json" \\',
        `  -d ${quoted(JSON.stringify(body))}`,
      ].join('\n'),
    },
    {
      label: 'Node',
      text: [
        '// npm install openai',
        "import OpenAI from 'openai';",
        `const client = new OpenAI({ baseURL: ${url}, apiKey: '${key}' });`,
        ...node,
      ].join('\n'),
    },
    {
      label: 'Python',
      text: [
        '# pip install openai',
        'from openai import OpenAI',
        `client = OpenAI(base_url=${url}, api_key="${key}")`,
        ...python,
      ].join('\n'),
    },
    { label: 'shell', text: `export OPENAI_BASE_URL=${baseUrl}\nexport OPENAI_API_KEY=${key}` },
  ];
}
