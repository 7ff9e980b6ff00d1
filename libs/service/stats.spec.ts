import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { Stats } from './stats.js';

let redis: Redis;
let stats: Stats;
let flush: jest.Spied<Stats['flush']>;

beforeEach(() => {
  jest.useFakeTimers();
  redis = new Redis({ lazyConnect: true });
  stats = new Stats('ingress', redis);
  flush = jest.spyOn(stats, 'flush').mockResolvedValue();
  stats.onApplicationBootstrap();
});
afterEach(() => {
  jest.useRealTimers();
  redis.disconnect();
});

it('says at once that the process lives, and then every other second', () => {
  expect(flush).toHaveBeenCalledTimes(1);
  jest.advanceTimersByTime(1_000);
  expect(flush).toHaveBeenCalledTimes(1);
  jest.advanceTimersByTime(3_000);
  expect(flush).toHaveBeenCalledTimes(3);
});

it('adds what it counted within a second', () => {
  stats.add('claims');
  jest.advanceTimersByTime(1_000);
  expect(flush).toHaveBeenCalledTimes(2);
});
