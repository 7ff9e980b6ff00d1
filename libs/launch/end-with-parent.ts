/**
 * Loaded into each service by `--import`: when the launcher is gone (even by kill -9) its IPC channel closes, and the service
 * shuts down as on SIGTERM, so that nothing lives on unseen.
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
