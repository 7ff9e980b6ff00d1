import { PrivateFile } from './secrets-file.js';

export interface Demo {
  id: string;
  key: string;
}

const SLUG = 'demo';
const LABEL = 'demo';
const CAMPAIGN = {
  slug: SLUG,
  name: 'Demo',
  budget_usd: '5.00',
  models: ['gpt-5.4-mini', 'gpt-5.4-nano', 'text-embedding-3-small'],
  key_defaults: { budget_usd: '1.00', limits: { rpm: 60, tpm: 200_000, concurrent: 8 } },
};

interface ListedKey {
  id: string;
  label?: string | null;
  status: string;
}

/**
 * The campaign and the key that every `npm start` offers. The API shows a key once, so the data folder keeps it. If
 * that file is lost, the start rotates the key, which keeps its balance.
 */
export async function ensureDemo(adminUrl: string, adminToken: string, dataDir: string): Promise<Demo> {
  const call = adminClient(adminUrl, adminToken);
  const file = new PrivateFile(dataDir, 'demo-key.json');
  if ((await call('GET', `/admin/v1/campaigns/${SLUG}`)).status === 404)
    await created(call('POST', '/admin/v1/campaigns', CAMPAIGN));

  const former = parse(file.read());
  if (former) {
    const { status, body } = await call('GET', `/admin/v1/keys/${former.id}`);
    if (status === 200 && isUsable(body as ListedKey)) return former;
  }
  const { body: list } = await call('GET', `/admin/v1/keys?campaign=${SLUG}&limit=100`);
  const existing = (list as { data?: ListedKey[] }).data?.find((key) => key.label === LABEL && isUsable(key));
  const answer = existing
    ? await created(call('POST', `/admin/v1/keys/${existing.id}/rotate`))
    : await created(call('POST', '/admin/v1/keys', { campaign: SLUG, label: LABEL, budget_usd: '1.00' }));
  const demo = { id: answer.id, key: answer.key };
  file.write(JSON.stringify(demo));
  return demo;
}

/** A suspended key stays the demo key, so that the person who suspended it can watch it. */
const isUsable = (key: ListedKey): boolean => key.status === 'active' || key.status === 'suspended';

type Call = (method: string, path: string, body?: object) => Promise<{ status: number; body: unknown }>;

function adminClient(adminUrl: string, adminToken: string): Call {
  return async (method, path, body) => {
    const response = await fetch(`${adminUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      signal: AbortSignal.timeout(10_000),
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    if (response.status >= 400 && response.status !== 404)
      throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
  };
}

async function created(answer: Promise<{ status: number; body: unknown }>): Promise<Demo> {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
  return body as Demo;
}

function parse(text: string | undefined): Demo | undefined {
  try {
    const { id, key } = JSON.parse(text ?? '') as Partial<Demo>;
    return id && key ? { id, key } : undefined;
  } catch {
    return undefined;
  }
}
