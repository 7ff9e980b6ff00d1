import { beforeEach, describe, expect, it } from '@jest/globals';
import type { EntityManager } from 'typeorm';
import { AuditRepository } from './audit.repository.js';

let written: string[];
let head: { seq: string; hash: string };
const manager = {
  query: (sql: string, [versions]: [string[]]) => {
    if (sql.includes('INTO audit.policies')) written.push(...versions);
    return Promise.resolve([head]);
  },
} as unknown as EntityManager;

describe('the policies of the record', () => {
  const policies = new Map([
    ['one', {}],
    ['two', {}],
  ]);
  let audit: AuditRepository;
  beforeEach(() => {
    audit = new AuditRepository();
    written = [];
    head = { seq: '5', hash: 'ff' };
  });

  it('are written once they are new, and again until a transaction with them is committed', async () => {
    expect(await audit.keepPolicies(manager, policies)).toEqual(['one', 'two']);
    expect(await audit.keepPolicies(manager, policies)).toEqual(['one', 'two']);
    audit.policiesKept(['one']);
    written = [];
    expect(await audit.keepPolicies(manager, policies)).toEqual(['two']);
    expect(written).toEqual(['two']);
    audit.policiesKept(['two']);
    expect(await audit.keepPolicies(manager, policies)).toEqual([]);
    expect(written).toEqual(['two']);
  });

  it('are written again in a Postgres that somebody restored', async () => {
    await audit.lockHead(manager);
    audit.policiesKept(['one', 'two']);
    head = { seq: '6', hash: 'ff' };
    await audit.lockHead(manager);
    expect(await audit.keepPolicies(manager, policies)).toEqual([]);
    head = { seq: '4', hash: 'ff' };
    await audit.lockHead(manager);
    expect(await audit.keepPolicies(manager, policies)).toEqual(['one', 'two']);
  });
});
