/**
 * All keys of an account have one hash tag, so that one script can move money at every level at once. Each process
 * serves one account. This is the one setting that nobody takes from libs/config: these names are constants, which
 * modules read while they load, and a service reads its settings after that. libs/config checks the same variable, and
 * a service with a wrong one ends before it uses a key.
 */
const account = process.env.DAYPASS_ACCOUNT?.trim() ?? '';
const TAG = moneySlot(account);

/** The hash tag of an account's keys: a cluster spreads accounts over its nodes by it. */
export function moneySlot(name: string): string {
  return name === '' ? '{dp}' : `{dp:${name}}`;
}

/** Every Redis key of Daypass. */
export const redisKeys = {
  /** BullMQ's keys begin with it. The braces put queues into the slot of the money. */
  queuePrefix: `${TAG}:queue`,
  epoch: `${TAG}:epoch`,
  /** Accounting sets it when it ends in order and no call is in flight. */
  quiet: `${TAG}:quiet`,
  journal: `${TAG}:journal`,
  leases: `${TAG}:leases`,
  /** Requests and checks on their way to the record, and how many bytes of them are not booked yet. */
  audit: `${TAG}:audit`,
  auditBytes: `${TAG}:audit:bytes`,
  /** How many of them belong to each key. */
  auditKeyBytes: `${TAG}:audit:bytes:keys`,
  /** The signed end of the record. It lies outside of Postgres, so that nobody can cut the record off unseen. */
  auditAnchor: `${TAG}:audit:anchor`,
  cancelChannel: `${TAG}:cancel`,
  keyPrefix: `${TAG}:key:`,
  campaignPrefix: `${TAG}:campaign:`,
  holdPrefix: `${TAG}:hold:`,
  /** Followed by `total`, or by the number of the day since 1970, in UTC. */
  operatorPrefix: `${TAG}:operator:`,
  operatorTotal: `${TAG}:operator:total`,
  token: (tokenHash: string) => `${TAG}:token:${tokenHash}`,
  key: (keyId: string) => `${TAG}:key:${keyId}`,
  campaign: (campaignId: string) => `${TAG}:campaign:${campaignId}`,
  hold: (requestId: string) => `${TAG}:hold:${requestId}`,
  /**
   * The call under one idempotency key of a virtual key. Redis gets only its hash, because it is the visitor's own
   * text.
   */
  idempotency: (keyId: string, nameHash: string) => `${TAG}:idempotency:${keyId}:${nameHash}`,
  idempotencyPrefix: `${TAG}:idempotency:`,
  /** The kept answers of all keys, by when they lapse, and how many bytes they have. */
  kept: `${TAG}:kept`,
  keptBytes: `${TAG}:kept:bytes`,
  /** Followed by a key's id: the bytes of each of its kept answers, and of all of them. */
  keptPrefix: `${TAG}:kept:key:`,
  /** What keys may name later (libs/shelf). The scripts of the shelf make every key's name of this prefix. */
  shelfPrefix: `${TAG}:shelf:`,
  /** Followed by a key's id and `:<response id>`: what waits in the background. `:all`: their ids by when they lapse. */
  backgroundPrefix: `${TAG}:background:`,
  background: (keyId: string, id: string) => `${TAG}:background:${keyId}:${id}`,
  /** The blocked answer to a call of a key, for a minute, by the call's hash; and the names of all of the key's. */
  stopped: (keyId: string, hash: string) => `${TAG}:stopped:${keyId}:${hash}`,
  stoppedOfKey: (keyId: string) => `${TAG}:stopped:${keyId}`,
  /** Verdicts on texts, by the hash of each. */
  verdicts: (bucket: string) => `${TAG}:verdicts:${bucket}`,
  /** How many verdicts each key brought to a bucket. */
  verdictShares: (bucket: string) => `${TAG}:verdicts:${bucket}:shares`,
  /** Bytes of remote images that the relay fetched for a key within one hour since 1970. */
  fetched: (keyId: string, hour: number | string) => `${TAG}:fetched:${keyId}:${hour}`,
  bodyPrefix: `${TAG}:body:`,
  body: (requestId: string) => `${TAG}:body:${requestId}`,
  /** The files of a request, in sealed pieces; by when those of each request lapse, and how many bytes there are. */
  files: (requestId: string) => `${TAG}:files:${requestId}`,
  filesLine: `${TAG}:uploads`,
  filesSizes: `${TAG}:uploads:bytes`,
  reply: (ingressId: string) => `${TAG}:reply:${ingressId}`,
  /** The last entry with a frame of bytes that the ingress has read from its stream. */
  replyRead: (ingressId: string) => `${TAG}:reply:${ingressId}:read`,
  keyWindowPrefix: `${TAG}:window:key:`,
  keyWindow: (keyId: string) => `${TAG}:window:key:${keyId}`,
  /** The bytes that a key sent, and got again, within the last hour. */
  keyBytes: (keyId: string) => `${TAG}:window:bytes:${keyId}`,
  ticketPrefix: `${TAG}:ticket:`,
  /** A call on its way through its lane. */
  ticket: (requestId: string) => `${TAG}:ticket:${requestId}`,
  laneWaiting: (lane: string) => `${TAG}:lane:waiting:${lane}`,
  /** The last look of one process at a lane: the calls that it began. */
  laneLook: (lane: string, process: string) => `${TAG}:lane:look:${lane}:${process}`,
  laneFair: (lane: string) => `${TAG}:lane:fair:${lane}`,
  laneState: (slot: string) => `${TAG}:lane:state:${slot}`,
  laneWindow: (slot: string) => `${TAG}:window:lane:${slot}`,
  /** What visitors' own inquiries took of a lane, beside all that it counts. */
  laneInquiries: (slot: string) => `${TAG}:window:inquiries:${slot}`,
  /** Images and seconds of sound. */
  laneUnits: (slot: string) => `${TAG}:window:units:${slot}`,
  laneDay: (slot: string) => `${TAG}:window:day:${slot}`,
  /** Tokens that each campaign got of a lane within one minute since 1970. */
  laneShares: (lane: string, minute: number | string) => `${TAG}:lane:shares:${lane}:${minute}`,
  /** A claim link as accounting projects it: its JSON (`LinkState`). */
  link: (token: string) => `${TAG}:link:${token}`,
  /** `shut`: the operator lets no new call and no claim in. Absent: it is open. */
  doorSwitch: `${TAG}:door`,
  /** A solved challenge, so that nobody uses it twice. */
  pow: (signature: string) => `${TAG}:pow:${signature}`,
  /** The sealed virtual key of a claim on its way, by the hash of its Idempotency-Key. */
  claim: (nameHash: string) => `${TAG}:claim:${nameHash}`,
  /** What a one-time code stands for, sealed, by the hash of the code. */
  handOver: (codeHash: string) => `${TAG}:hand-over:${codeHash}`,
  /** One-time codes that a key got within a minute. */
  handOverCount: (keyId: string) => `${TAG}:window:hand-over:${keyId}`,
  /** The code that a mail brought to an address for a link, hashed, with its tries. */
  mailCode: (nameHash: string) => `${TAG}:mail-code:${nameHash}`,
  /** A sign-in with GitHub that came back, so that it does so once. */
  signIn: (stateHash: string) => `${TAG}:github:${stateHash}`,
  /** Claims within an hour or a day, of one address' tag, of a link, of a campaign. */
  claimWindow: (of: string) => `${TAG}:window:claim:${of}`,
  /** Followed by a claimant's id: its strikes and what followed, over all of its keys. */
  visitorPrefix: `${TAG}:visitor:`,
  visitor: (claimantId: string) => `${TAG}:visitor:${claimantId}`,
  /** A key's last refusals, newest first. */
  refusals: (keyId: string) => `${TAG}:refusals:${keyId}`,
  /** One-time codes that sign in to the console, hashed, by when they lapse. */
  signInCodes: `${TAG}:sign-in`,
  /** The living processes, `<service>:<id>`, by when each last said so. */
  processes: `${TAG}:processes`,
  /** What accounting tells open consoles. */
  consoleChannel: `${TAG}:console`,
  /** Followed by a minute since 1970. */
  statsPrefix: `${TAG}:stats:`,
  /** What all processes counted within one minute since 1970. */
  stats: (minute: number | string) => `${TAG}:stats:${minute}`,
  /** The circuit of an upstream that failed lately. */
  circuit: (upstream: string) => `${TAG}:circuit:${upstream}`,
} as const;
