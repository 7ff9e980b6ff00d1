// Preloaded into one service: its wall clock is off by so many hours, its timers are not.
const offMs = Number(process.env.TEST_CLOCK_HOURS) * 3_600_000;
const TrueDate = Date;

globalThis.Date = class extends TrueDate {
  constructor(...args) {
    if (args.length === 0) super(TrueDate.now() + offMs);
    else super(...args);
  }

  static now() {
    return TrueDate.now() + offMs;
  }
};
