import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, deflateRawSync, inflateRaw } from 'node:zlib';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { PreparedStatement } from '../store/prepared.statement.js';

const KEY_BYTES = 32;
/** "The last block", its length, and the complement of its length. */
const STORED_HEADER_BYTES = 5;
/** Compressing a short text here takes 18 µs; handing it to a thread takes 110 µs. */
const SHORT_CHARACTERS = 32_768;
/** Compressing a text up to this length saves dozens of bytes, and takes longer than its encryption (measured). */
const STORED_CHARACTERS = 512;
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

interface VisitorRow {
  id: string;
  wrapped_key: Buffer | null;
}

const SHARED_ROWS = new PreparedStatement<VisitorRow>(
  'SELECT id, wrapped_key FROM audit.visitors WHERE id = ANY ($1) ORDER BY id FOR SHARE',
);

/** Encrypts a visitor's content in the record under the visitor's own secret. Erasure destroys that secret. */
export interface VisitorBox {
  seal(compressed: Buffer, id: string): Buffer;
}

/** The text as DEFLATE's one block that is not compressed (RFC 1951, 3.2.4). Whoever inflates it needs no other way. */
function stored(text: string): Buffer {
  const bytes = Buffer.byteLength(text);
  const block = Buffer.allocUnsafe(STORED_HEADER_BYTES + bytes);
  block[0] = 1;
  block.writeUInt16LE(bytes, 1);
  block.writeUInt16LE(0xffff - bytes, 3);
  block.write(text, STORED_HEADER_BYTES, 'utf8');
  return block;
}

/** Stores a random secret for each visitor, encrypted by the master secret. */
@Injectable()
export class VisitorVault {
  private readonly master: ContentBox;

  constructor(@Inject(CONFIG) config: DaypassConfig) {
    this.master = new ContentBox(config.secrets.auditKey);
  }

  /** One for each visitor, new ones included; none for erased ones. The rows stay locked until the transaction ends. */
  async boxes(manager: EntityManager, visitorIds: readonly string[]): Promise<Map<string, VisitorBox>> {
    if (visitorIds.length === 0) return new Map();
    const ids = [...new Set(visitorIds)].sort();
    const found = await this.rows(manager, ids);
    const fresh = ids.filter((id) => !found.has(id));
    if (fresh.length > 0) {
      const wrapped = fresh.map((id) => this.master.seal(randomBytes(KEY_BYTES), id));
      await manager.query(
        `INSERT INTO audit.visitors (id, wrapped_key) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING`,
        [fresh, wrapped],
      );
      for (const [id, row] of await this.rows(manager, fresh)) found.set(id, row);
    }
    return new Map(
      [...found].flatMap(([id, { wrapped_key: wrapped }]) =>
        wrapped ? [[id, new ContentBox(this.master.openBytes(wrapped, id))] as const] : [],
      ),
    );
  }

  /** null: the visitor was erased. @throws when somebody altered the content, or another secret encrypted it */
  async open(manager: EntityManager, visitorId: string, contentId: string, sealed: Buffer): Promise<string | null> {
    const [row] = await manager.query<VisitorRow[]>('SELECT id, wrapped_key FROM audit.visitors WHERE id = $1', [
      visitorId,
    ]);
    if (!row?.wrapped_key) return null;
    const box = new ContentBox(this.master.openBytes(row.wrapped_key, visitorId));
    return (await inflate(box.openBytes(sealed, contentId))).toString('utf8');
  }

  async compress(text: string): Promise<Buffer> {
    if (text.length <= STORED_CHARACTERS) return stored(text);
    return text.length > SHORT_CHARACTERS ? deflate(text) : deflateRawSync(text);
  }

  private async rows(manager: EntityManager, ids: readonly string[]): Promise<Map<string, VisitorRow>> {
    const rows = await SHARED_ROWS.run(manager, [ids]);
    return new Map(rows.map((row) => [row.id, row]));
  }
}
