import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpuOf } from './processes.ts';

describe('the CPU of processes', () => {
  it('has that of a process below that has ended', () => {
    const before = cpuOf({ all: /./ }).all!;
    const burn = 'while (process.cpuUsage().user < 300_000);';
    expect(spawnSync(process.execPath, ['-e', burn]).status).toBe(0);
    expect(cpuOf({ all: /./ }).all! - before).toBeGreaterThan(0.3);
  });
});
