import { PrivateFile } from './secrets-file.js';

export interface Demo {
  id: string;
  key: string;
  /** The path of the claim page. */
  claimPath: string;
  /** Signs in to the console once. */
  signInUrl: string;
}
type DemoKey = Pick<Demo, 'id' | 'key'>;

const SLUG = 'demo';
const LABEL = 'demo';
const CAMPAIGN = {
  slug: SLUG,
  name: 'Demo',
  budget_usd: '5.00',
  models: ['gpt-5.4-mini', 'gpt-5.4-nano', 'text-embedding-3-small', 'gpt-image-2', 'gpt-4o-mini-tts', 'whisper-1'],
  key_defaults: { budget_usd: '1.00', limits: { rpm: 60, tpm: 200_000, concurrent: 8 } },
  claim: {
    title: 'Try Daypass',
    text: 'Get a key of your own, and put it where an OpenAI key goes. It has $0.10, and works for an hour.',
  },
};

/** A taste for whoever opens it: unspent budget soon goes back. A room of people often has one address. */
const LINK = {
  token: SLUG,
  name: 'Demo',
  gates: ['pow'],
  key: { budget_usd: '0.10', ttl_seconds: 3_600 },
  max_claims: 1_000,
  per_ip_per_day: 0,
};

interface ListedKey {
  id: string;
  label?: string | null;
  status: string;
}

/** The campaign, the key and the claim link that every `npm start` offers, and a new link to the console. */
export async function ensureDemo(adminUrl: string, adminToken: string, dataDir: string): Promise<Demo> {
  const call = adminClient(adminUrl, adminToken);
  if ((await call('GET', `/admin/v1/campaigns/${SLUG}`)).status === 404)
    await created(call('POST', '/admin/v1/campaigns', CAMPAIGN));
  const { id, key } = await ensureKey(call, dataDir);
  await ensureLink(call);
  const { data } = await created<{ data: { url: string } }>(call('POST', '/admin/v1/session/links', {}));
  return { id, key, claimPath: `/c/${LINK.token}`, signInUrl: onLocalhost(data.url) };
}

/**
 * The API shows a key once, so the data folder keeps it. If that file is lost, the start rotates the key, which keeps
 * its balance.
 */
async function ensureKey(call: Call, dataDir: string): Promise<DemoKey> {
  const file = new PrivateFile(dataDir, 'demo-key.json');
  const former = parse(file.read());
  if (former) {
    const { status, body } = await call('GET', `/admin/v1/keys/${former.id}`);
    if (status === 200 && isUsable(body as ListedKey)) return former;
  }
  const { body: list } = await call('GET', `/admin/v1/keys?campaign=${SLUG}&limit=100`);
  const existing = (list as { data?: ListedKey[] }).data?.find((key) => key.label === LABEL && isUsable(key));
  const answer = existing
    ? await created<DemoKey>(call('POST', `/admin/v1/keys/${existing.id}/rotate`))
    : await created<DemoKey>(call('POST', '/admin/v1/keys', { campaign: SLUG, label: LABEL, budget_usd: '1.00' }));
  const demo = { id: answer.id, key: answer.key };
  file.write(JSON.stringify(demo));
  return demo;
}

/** An existing one stays as it is, also where the operator paused or closed it. */
async function ensureLink(call: Call): Promise<void> {
  const path = `/admin/v1/campaigns/${SLUG}/links`;
  const { body } = await call('GET', `${path}?limit=100`);
  if ((body as { data: { token: string }[] }).data.some(({ token }) => token === LINK.token)) return;
  await created(call('POST', path, LINK));
}

/** The session's cookie belongs to the name that the browser shows. */
function onLocalhost(url: string): string {
  const local = new URL(url);
  local.hostname = 'localhost';
  return local.href;
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

async function created<T>(answer: Promise<{ status: number; body: unknown }>): Promise<T> {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
  return body as T;
}

function parse(text: string | undefined): DemoKey | undefined {
  try {
    const { id, key } = JSON.parse(text ?? '') as Partial<DemoKey>;
    return id && key ? { id, key } : undefined;
  } catch {
    return undefined;
  }
}
