import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { lanesAnswer, type LaneShown } from '#libs/contracts/admin/lanes.js';
import { LaneBoard } from '../console/lane.board.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';

@ApiTags('lanes')
@UseGuards(AdminGuard)
@Controller('admin/v1/lanes')
export class LanesController {
  constructor(private readonly board: LaneBoard) {}

  @Get()
  @Documented({
    summary: 'The state of each lane: its limits, their use within the last minute, and the waiting calls',
    answer: 'The lanes',
    shape: lanesAnswer,
  })
  async list(): Promise<{ data: LaneShown[] }> {
    return { data: await this.board.read() };
  }
}
