import { describe, expect, it } from '@jest/globals';
import { UnshownEvents } from './unshown.js';

describe('events that wait to be shown', () => {
  it('are few, however many frames wait: later ones are parsed again', () => {
    const unshown = new UnshownEvents();
    for (let at = 0; at < 300; at++) unshown.add(`frame ${at}`, { at });
    const taken = Array.from({ length: 300 }, (_, at) => unshown.take(`frame ${at}`));
    expect(taken.slice(0, 256)).toEqual(Array.from({ length: 256 }, (_, at) => ({ at })));
    expect(taken.slice(256)).toEqual(Array(44).fill(undefined));
    unshown.add('next', { at: 300 });
    expect(unshown.take('next')).toEqual({ at: 300 });
  });
});
