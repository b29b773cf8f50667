// What a page tries against another origin. Each attack asks for a URL of its own
// and gives what it could read, or null.
'use strict';

const json = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"planted"}}';

const add = (tag, properties) => {
  const element = document.createElement(tag);
  const attributes = Object.entries(properties);
  attributes.forEach(([name, value]) => element.setAttribute(name, value));
  document.body.append(element);
  return element;
};

// Loaded or not is all the same: whether it was asked for is seen elsewhere.
const loaded = (tag, properties) => new Promise(done => {
  const element = add(tag, properties);
  element.onload = element.onerror = element.onloadstart = () => done(element);
});

const text = async answer => (await answer).text();

// A form of one field whose text is JSON, into a frame or a tab.
const form = (action, target, enctype = 'text/plain') => {
  const element = add('form', { action, target, method: 'post', enctype });
  const field = document.createElement('input');
  [field.name, field.value] = [json.slice(0, -2), '"x"}'];
  element.append(field);
  element.submit();
};

const framed = async (name, submit) => {
  const frame = add('iframe', { name });
  const arrived = new Promise(done => { frame.onload = done; });
  submit(name);
  await arrived;
  return frame.contentDocument?.body?.textContent ?? null;
};

const socket = (url, protocols) => new Promise((done, failed) => {
  const opened = new WebSocket(url.replace('https:', 'wss:'), protocols);
  opened.onmessage = message => done(message.data);
  opened.onerror = failed;
});

const credentials = 'include';

const attacks = {
  fetch: url => text(fetch(url, { credentials })),
  fetch_preflighted: url => text(fetch(url, { credentials, headers: { 'x-own': '1' } })),
  fetch_post: url => text(fetch(url, { credentials, method: 'POST', body: json })),
  fetch_put: url => text(fetch(url, { credentials, method: 'PUT', body: json })),
  fetch_delete: url => text(fetch(url, { credentials, method: 'DELETE' })),
  fetch_keepalive: url => text(fetch(url, { credentials, method: 'POST', body: json, keepalive: true })),
  fetch_opaque: url => text(fetch(url, { credentials, mode: 'no-cors' })),
  fetch_opaque_post: url => text(fetch(url, { credentials, mode: 'no-cors', method: 'POST', body: json })),
  fetch_no_referrer: url => text(fetch(url, { credentials, method: 'POST', body: json, referrerPolicy: 'no-referrer' })),
  fetch_redirected: url => text(fetch('/redirect?to=' + url, { credentials })),
  fetch_redirected_post: url => text(fetch('/redirect?to=' + url, { credentials, method: 'POST', body: json })),
  xhr: url => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.withCredentials = true;
    request.onload = () => done(request.responseText);
    request.onerror = failed;
    request.open('GET', url);
    request.send();
  }),
  beacon: async url => { navigator.sendBeacon(url, json); return null; },
  image: async url => { await loaded('img', { src: url }); return null; },
  video: async url => { await loaded('video', { src: url, preload: 'auto' }); return null; },
  script: async url => { await loaded('script', { src: url }); return globalThis.leaked; },
  script_module: async url => { await import(url); return globalThis.leaked; },
  script_worker: url => new Promise((done, failed) => {
    const code = `importScripts(${JSON.stringify(url)}); postMessage(globalThis.leaked);`;
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    worker.onmessage = message => done(message.data);
    worker.onerror = failed;
  }),
  style: async url => {
    await loaded('link', { rel: 'stylesheet', href: url });
    return getComputedStyle(document.documentElement).getPropertyValue('--leaked').slice(1, -1) || null;
  },
  prefetch: async url => { await loaded('link', { rel: 'prefetch', href: url }); return null; },
  preload: async url => { await loaded('link', { rel: 'preload', as: 'fetch', crossorigin: 'use-credentials', href: url }); return null; },
  frame: async url => (await loaded('iframe', { src: url })).contentDocument?.body?.textContent ?? null,
  frame_object: async url => { await loaded('object', { data: url, type: 'text/html' }); return null; },
  frame_embed: async url => { await loaded('embed', { src: url, type: 'text/html' }); return null; },
  frame_form: url => framed('form', name => form(url, name)),
  frame_form_encoded: url => framed('encoded', name => form(url, name, 'application/x-www-form-urlencoded')),
  frame_form_redirected: url => framed('redirected', name => form('/redirect?to=' + url, name)),
  frame_form_from_nobody: async url => {
    const body = `<form action="${url}" method=post enctype=text/plain><input name=a></form><script>document.forms[0].submit()</` + 'script>';
    await loaded('iframe', { sandbox: 'allow-scripts allow-forms', srcdoc: body });
    return null;
  },
  tab_form: async url => { form(url, '_blank'); return null; },
  events: url => new Promise((done, failed) => {
    const events = new EventSource(url, { withCredentials: true });
    const end = (how, what) => { events.close(); how(what); };
    events.onmessage = message => end(done, message.data);
    events.onerror = error => end(failed, error);
  }),
  socket: url => socket(url),
  socket_protocol: url => socket(url, ['v5.channel.k8s.io', 'channel.k8s.io']),
  socket_own_token: url => socket(url, ['v5.channel.k8s.io', 'base64url.bearer.authorization.k8s.io.bm9uZQ']),
  ping: async url => { add('a', { href: '#', ping: url }).click(); return null; },
};

globalThis.attack = async base => {
  const tried = Object.entries(attacks).map(async ([name, attempt]) => {
    globalThis.pending.add(name);
    const read = await attempt(`${base}/${name}`).catch(() => null);
    globalThis.pending.delete(name);
    return [name, typeof read === 'string' && read !== '' ? read : null];
  });
  return Object.fromEntries(await Promise.all(tried));
};
globalThis.pending = new Set();
