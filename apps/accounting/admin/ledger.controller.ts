import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { LedgerVerifier, type Verification } from '../books/ledger.verifier.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';

@ApiTags('ledger')
@UseGuards(AdminGuard)
@Controller('admin/v1/ledger')
export class LedgerController {
  constructor(private readonly verifier: LedgerVerifier) {}

  @Get('verify')
  @Documented({
    summary:
      'Prove the books: every transfer sums to zero, every call has one end, Redis agrees, the provider billed no more',
    answer: 'What was checked, and what is wrong',
  })
  verify(): Promise<Verification> {
    return this.verifier.verify();
  }
}
