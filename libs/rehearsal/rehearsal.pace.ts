/** About the pace of a small model: half a second to the first token, then a readable flow. */
export const LIFELIKE = { firstTokenMs: 250, tokensPerSecond: 80, moderationLatencyMs: 60 };
