/**
 * Every Redis key of Daypass, all under one hash tag: the money of one account stays in one slot, so that one script
 * can move it at every level at once.
 */
const TAG = '{dp}';

export const redisKeys = {
  epoch: `${TAG}:epoch`,
  /** Set at an orderly end with nothing in flight. */
  quiet: `${TAG}:quiet`,
  journal: `${TAG}:journal`,
  leases: `${TAG}:leases`,
  /** What was asked and judged, on its way to the record; and how many bytes of it are not booked yet. */
  audit: `${TAG}:audit`,
  auditBytes: `${TAG}:audit:bytes`,
  /** How far the record is known to reach, signed: outside of Postgres, so that its end cannot be cut off unseen. */
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
  /** What became of the call that a key's holder gave this name; the name is hashed, because it is the holder's own text. */
  idempotency: (keyId: string, nameHash: string) => `${TAG}:idempotency:${keyId}:${nameHash}`,
  /** Verdicts on texts, by the hash of each. */
  verdicts: (bucket: string) => `${TAG}:verdicts:${bucket}`,
  body: (requestId: string) => `${TAG}:body:${requestId}`,
  reply: (ingressId: string) => `${TAG}:reply:${ingressId}`,
  keyWindow: (keyId: string) => `${TAG}:window:key:${keyId}`,
  ticketPrefix: `${TAG}:ticket:`,
  /** A call on its way through its lane. */
  ticket: (requestId: string) => `${TAG}:ticket:${requestId}`,
  laneWaiting: (lane: string) => `${TAG}:lane:waiting:${lane}`,
  laneFair: (lane: string) => `${TAG}:lane:fair:${lane}`,
  laneState: (slot: string) => `${TAG}:lane:state:${slot}`,
  laneWindow: (slot: string) => `${TAG}:window:lane:${slot}`,
  laneDay: (slot: string) => `${TAG}:window:day:${slot}`,
  /** Tokens that each campaign got of a lane within one minute since 1970. */
  laneShares: (lane: string, minute: number | string) => `${TAG}:lane:shares:${lane}:${minute}`,
  /** Of an upstream that failed of late. */
  circuit: (upstream: string) => `${TAG}:circuit:${upstream}`,
} as const;
