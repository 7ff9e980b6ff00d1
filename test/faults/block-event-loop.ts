/** Blocks the event loop of a process for so long: through its inspector, whose address its log names. Resolves when it runs again. */
export async function blockEventLoop(log: string, ms: number): Promise<void> {
  const address = [...log.matchAll(/Debugger listening on (ws:\S+)/g)].at(-1)?.[1];
  if (address === undefined) throw new Error('the process has no inspector: start it with --inspect=127.0.0.1:0');
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  const ended = new Promise((resolve) => socket.addEventListener('message', resolve, { once: true }));
  const expression = `for (const until = Date.now() + ${ms}; Date.now() < until;);`;
  socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));
  await ended;
  socket.close();
}
