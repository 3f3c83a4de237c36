'use strict';
// A small application of Express that asks itself.
const express = require('express');
const http = require('http');

const app = express();
app.use(express.json());
app.get('/hello/:name', (q, a) => a.json({ hello: q.params.name }));
app.post('/sum', (q, a) => a.json({ sum: q.body.reduce((x, y) => x + y) }));
const server = app.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const hello = await (await fetch(`${url}/hello/${encodeURIComponent('wörld')}`)).json();
  const sum = await (await fetch(`${url}/sum`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '[40, 2]' })).json();
  console.log(hello.hello === 'wörld' && sum.sum === 42 ? 'all well' : JSON.stringify([hello, sum]));
  server.close();
  process.exit();
});
