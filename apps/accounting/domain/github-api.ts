/** Where the API of a GitHub is: at a host of its own at GitHub's, and below `/api/v3` of a GitHub Enterprise Server. */
export function githubApiOf(url: string): string {
  const { hostname } = new URL(url);
  const isGithubs = hostname === 'github.com' || hostname.endsWith('.ghe.com');
  return isGithubs ? `https://api.${hostname}` : `${url}/api/v3`;
}
