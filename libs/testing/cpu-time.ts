/** Milliseconds of CPU that this process has used. A busy machine does not make them more, as it does with time. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
