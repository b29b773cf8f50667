// What a page does with a cluster's API: its own, or another origin's.

const DEADLINE = 20000;

function configMap(name) {
  return JSON.stringify({apiVersion: 'v1', kind: 'ConfigMap', metadata: {name}});
}

async function post(path, name) {
  const headers = {'Content-Type': 'application/json'};
  const response = await fetch(path, {method: 'POST', headers, body: configMap(name)});
  return response.status;
}

// A path whose watch begins after what is there.
async function fromNow(path) {
  const list = await (await fetch(path)).json();
  return `${path}?watch=true&resourceVersion=${list.metadata.resourceVersion}`;
}

async function names(path) {
  const list = await (await fetch(path)).json();
  return list.items.map((item) => item.metadata.name);
}

function soon(promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('too late')), DEADLINE));
  return Promise.race([promise, late]);
}

// Makes objects, each when the event of the one before has come.
async function watched(path, wanted, next) {
  const seen = [];
  for (const name of wanted) {
    await post(path, name);
    const event = await soon(next());
    if (event.type !== 'ADDED') throw new Error(event.type);
    seen.push(event.object.metadata.name);
  }
  return seen;
}

async function watchedByFetch(path, wanted) {
  const response = await soon(fetch(await fromNow(path)));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const seen = await watched(path, wanted, async () => {
    while (!text.includes('\n')) {
      const {value, done} = await reader.read();
      if (done) throw new Error('the watch has ended');
      text += value;
    }
    const [line, ...rest] = text.split('\n');
    text = rest.join('\n');
    return JSON.parse(line);
  });
  await reader.cancel();
  return seen;
}

// 'open', or what came instead.
function opened(socket) {
  return soon(new Promise((resolve) => {
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
  }));
}

async function watchedBySocket(path, wanted) {
  const socket = new WebSocket(`ws://${location.host}${await fromNow(path)}`);
  const events = [], waiting = [];
  socket.onmessage = ({data}) => {
    const event = JSON.parse(data);
    waiting.length ? waiting.shift()(event) : events.push(event);
  };
  const state = await opened(socket);
  if (state !== 'open') throw new Error(state);
  const next = () => new Promise((resolve) => {
    events.length ? resolve(events.shift()) : waiting.push(resolve);
  });
  const seen = await watched(path, wanted, next);
  socket.close();
  return seen;
}

// What a page of another origin may try without asking: to read, to write with a
// body of no type, which API servers take for JSON, and to open a WebSocket.
async function attack(target, path, name) {
  const read = await fetch(target + path).then(() => 'read', (error) => error.name);
  const body = new Blob([configMap(name)]);
  const write = {method: 'POST', mode: 'no-cors', body};
  await fetch(target + path, write).catch(() => null);
  const socket = new WebSocket(`${target.replace('http:', 'ws:')}${path}?watch=true`);
  const state = await opened(socket);
  socket.close();
  return [read, state];
}
