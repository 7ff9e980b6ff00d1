/**
 * Every Redis key of Daypass, all under one hash tag: the money of one account stays in one slot, so that one script
 * can move it at every level at once.
 */
const TAG = '{dp}';

export const redisKeys = {
  epoch: `${TAG}:epoch`,
  journal: `${TAG}:journal`,
  leases: `${TAG}:leases`,
  cancelChannel: `${TAG}:cancel`,
  keyPrefix: `${TAG}:key:`,
  campaignPrefix: `${TAG}:campaign:`,
  /** Followed by the number of the day since the epoch, in UTC. */
  operatorDayPrefix: `${TAG}:operator:`,
  token: (tokenHash: string) => `${TAG}:token:${tokenHash}`,
  key: (keyId: string) => `${TAG}:key:${keyId}`,
  campaign: (campaignId: string) => `${TAG}:campaign:${campaignId}`,
  hold: (requestId: string) => `${TAG}:hold:${requestId}`,
  body: (requestId: string) => `${TAG}:body:${requestId}`,
  reply: (ingressId: string) => `${TAG}:reply:${ingressId}`,
  keyWindow: (keyId: string) => `${TAG}:window:key:${keyId}`,
  laneWindow: (lane: string) => `${TAG}:window:lane:${lane}`,
} as const;
