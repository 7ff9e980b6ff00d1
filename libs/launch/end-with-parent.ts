/**
 * Each service loads it by `--import`. When the launcher ends (even by kill -9), its IPC channel closes. The service
 * then shuts down as on SIGTERM, so that no service stays behind.
 */
const HARD_EXIT_MS = 35_000;

if (process.channel) {
  process.once('disconnect', () => {
    setTimeout(() => process.exit(1), HARD_EXIT_MS).unref();
    process.kill(process.pid, 'SIGTERM');
  });
  process.channel.unref();
}

export {};
