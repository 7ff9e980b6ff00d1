import { solveChallenge } from 'altcha-lib';
import { deriveKey as deriveNatively } from 'altcha-lib/algorithms/web/pbkdf2';
import type { Challenge, DeriveKeyFunction, Solution } from 'altcha-lib/types';
import { pbkdf2 } from '@noble/hashes/pbkdf2.js';
import { sha256 } from '@noble/hashes/sha2.js';

export interface Work {
  challenge: Challenge;
  /** This worker tries the counters `first`, `first + step`, and so on. */
  first: number;
  step: number;
  timeoutMs: number;
}

/** `tries`: so many since the last message. `solution` null: the time was over first. */
export type Progress = { tries: number } | { solution: Solution | null } | { error: string };

const TRIES_PER_MESSAGE = 10;

/** Pages on `http://` by a LAN address have no `crypto.subtle`. */
const isSecure = (crypto.subtle as SubtleCrypto | undefined) !== undefined;
const derive: DeriveKeyFunction = isSecure
  ? deriveNatively
  : async ({ algorithm, cost, keyLength }, salt, password) => {
      if (algorithm !== 'PBKDF2/SHA-256') throw new Error(`this page cannot solve ${algorithm}`);
      return { derivedKey: pbkdf2(sha256, password, salt, { c: cost, dkLen: keyLength }) };
    };

const tell = (progress: Progress): void => self.postMessage(progress);

self.onmessage = ({ data }: MessageEvent<Work>): void => {
  const { challenge, first, step, timeoutMs } = data;
  let tries = 0;
  solveChallenge({
    challenge,
    counterStart: first,
    counterStep: step,
    timeout: timeoutMs,
    deriveKey: (parameters, salt, password) => {
      if (++tries % TRIES_PER_MESSAGE === 0) tell({ tries: TRIES_PER_MESSAGE });
      return derive(parameters, salt, password);
    },
  }).then(
    (solution) => tell({ solution }),
    (error: unknown) => tell({ error: String(error) }),
  );
};
