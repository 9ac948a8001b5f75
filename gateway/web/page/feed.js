// The gateway's feed, its API, and the token, which is kept in memory only.

const QUIET_MS = 5000;
let token = "";

export const useToken = (text) => { token = text; };
export const hasToken = () => token !== "";

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

export async function ask(path) {
  const answer = await fetch(`/api/v1${path}`, { headers: headers() });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error || answer.statusText);
  return told;
}

export async function act(path) {
  const answer = await fetch(`/api/v1${path}`, { method: "POST", headers: headers() });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error || answer.statusText);
  return told.done;
}

// Calls `onState` with every state, `onStale` when none came for a while, and `onRefused` when a token is needed.
// Server-sent events are read with fetch, since EventSource sends no token.
export async function follow({ onState, onStale, onRefused }) {
  let latest = Date.now();
  let every = 1000;
  setInterval(() => { if (Date.now() - latest > Math.max(QUIET_MS, 4 * every)) onStale(latest); }, 500);
  for (;;) {
    try {
      const answer = await fetch("/api/v1/stream", { headers: headers(), cache: "no-store" });
      if (answer.status === 401) {
        await onRefused();
        continue;
      }
      if (answer.ok) {
        for await (const state of states(answer.body)) {
          every = Math.min(60000, Date.now() - latest);
          latest = Date.now();
          onState(state);
        }
      }
    } catch { /* the gateway is away: asked again below */ }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

async function* states(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    const last = events.pop();
    if (last) yield JSON.parse(last.slice(last.indexOf("data: ") + 6));
  }
}
