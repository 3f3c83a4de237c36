'use strict';
// Says what of Node.js does not work in an image. Run with the major version.
const assert = require('assert');
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');

if (!isMainThread) {
  parentPort.postMessage(workerData * 2);
} else {
  main();
}

function once(emitter, event) {
  return new Promise((resolve, reject) => {
    emitter.once(event, resolve);
    emitter.once('error', reject);
  });
}

async function main() {
  let faults = 0;
  const check = async (name, f) => {
    try {
      await f();
    } catch (e) {
      faults++;
      console.log(`${name}: ${e && e.stack || e}`);
    }
  };

  await check('version', () => assert.strictEqual(process.versions.node.split('.')[0], process.argv[2]));
  await check('every module', () => {
    for (const name of require('module').builtinModules) {
      if (!name.startsWith('_') && !/^(sys|wasi|trace_events|inspector)/.test(name)) require(name);
    }
  });
  await check('http', async () => {
    const http = require('http');
    const server = http.createServer((q, a) => a.end('hello')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const answer = await once(http.get({ host: '127.0.0.1', port: server.address().port }), 'response');
    answer.setEncoding('utf8');
    let body = '';
    for await (const part of answer) body += part;
    assert.strictEqual(body, 'hello');
    if (typeof fetch === 'function') {
      const got = await fetch(`http://127.0.0.1:${server.address().port}/`);
      assert.strictEqual(await got.text(), 'hello');
    }
    server.close();
  });
  await check('tls', () => {
    const tls = require('tls');
    assert(tls.rootCertificates.length > 100, `${tls.rootCertificates.length} authorities`);
    tls.createSecureContext();
    const crypto = require('crypto');
    assert.strictEqual(crypto.createHash('sha256').update('x').digest('hex').slice(0, 8), '2d711642');
    const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    assert(crypto.verify('sha256', Buffer.from('x'), publicKey, crypto.sign('sha256', Buffer.from('x'), privateKey)));
  });
  await check('http2', () => require('http2').createServer().close());
  await check('worker threads', async () => {
    const w = new Worker(__filename, { workerData: 21 });
    assert.strictEqual(await once(w, 'message'), 42);
  });
  await check('Intl', () => {
    assert.strictEqual(new Intl.NumberFormat('de-DE').format(1234.5), '1.234,5');
    assert.strictEqual(new Intl.DateTimeFormat('ja-JP', { dateStyle: 'long', timeZone: 'Asia/Tokyo' }).format(new Date(0)), '1970年1月1日');
    assert.strictEqual(new Date(1719835200000).toLocaleString('en-US', { timeZone: 'America/New_York', hour: 'numeric' }), '8 AM');
    assert.deepStrictEqual(['z', 'ä', 'a'].sort(new Intl.Collator('sv').compare), ['a', 'z', 'ä']);
  });
  await check('WebAssembly', async () => {
    const bytes = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
    const { instance } = await WebAssembly.instantiate(bytes);
    assert.strictEqual(instance.exports.add(40, 2), 42);
  });
  await check('zlib', () => {
    const zlib = require('zlib');
    const data = Buffer.from('x'.repeat(10000));
    assert(zlib.gunzipSync(zlib.gzipSync(data)).equals(data));
    assert(zlib.brotliDecompressSync(zlib.brotliCompressSync(data)).equals(data));
  });
  await check('modules of ES', async () => {
    const m = await import('data:text/javascript,export default 42');
    assert.strictEqual(m.default, 42);
    assert.strictEqual((await import('path')).default.sep, '/');
  });
  await check('names', async () => {
    const fs = require('fs'), os = require('os');
    fs.writeFileSync('/tmp/grüße-日本.txt', 'ü');
    assert(fs.readdirSync('/tmp').includes('grüße-日本.txt'));
    fs.unlinkSync('/tmp/grüße-日本.txt');
    os.userInfo();
    const { address } = await require('dns').promises.lookup('127.0.0.1');
    assert.strictEqual(address, '127.0.0.1');
  });
  await check('processes', () => {
    const { execFileSync, execSync } = require('child_process');
    assert.strictEqual(execFileSync(process.execPath, ['-p', '6*7']).toString(), '42\n');
    if (!require('fs').existsSync('/bin/sh')) assert.throws(() => execSync('true'), /ENOENT/);
  });
  await check('native addon', () => {
    if (process.argv[3]) assert.strictEqual(require(process.argv[3]).answer(), 42);
  });
  console.log(faults ? `${faults} faults` : 'all well');
  process.exit(faults ? 1 : 0);
}
