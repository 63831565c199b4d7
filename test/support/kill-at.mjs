// Preloaded into a process (`node --import`): counts everything that it does to the world, writes to files and folders and writes to
// sockets, and kills it just before the n-th. Effects are found by what the process calls, whatever code calls it.
// KILL_AT=n kills; EFFECTS_TO=FILE writes, at a proper end, one line for each effect.

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

const at = Number(process.env.KILL_AT ?? 0);
const list = process.env.EFFECTS_TO;
const { writeFileSync } = fs;
const effects = [];

function effect(name) {
  effects.push(name);
  if (effects.length === at) process.kill(process.pid, 'SIGKILL');
}

function counted(holder, name, label, isEffect = () => true) {
  const original = holder[name];
  if (typeof original !== 'function') return;
  const wrapped = function (...parameters) {
    if (isEffect(...parameters)) effect(label);
    return Reflect.apply(original, this, parameters);
  };
  // promisify() and the like read what stands on the function.
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original));
  holder[name] = wrapped;
}

const CHANGES = [
  'appendFile', 'chmod', 'chown', 'copyFile', 'cp', 'fchmod', 'fchown', 'fdatasync', 'fsync', 'ftruncate', 'link', 'lchown', 'mkdir',
  'mkdtemp', 'rename', 'rm', 'rmdir', 'symlink', 'truncate', 'unlink', 'utimes', 'write', 'writeFile', 'writev',
]; // biome-ignore format: a list
for (const name of CHANGES) {
  counted(fs, name, `fs.${name}`);
  counted(fs, `${name}Sync`, `fs.${name}`);
  counted(fs.promises, name, `fs.${name}`);
}
const makesFile = (_, flags) =>
  typeof flags === 'string'
    ? /[wax+]/.test(flags)
    : (Number(flags ?? 0) & (fs.constants.O_CREAT | fs.constants.O_TRUNC)) !== 0;
for (const holder of [fs, fs.promises]) counted(holder, 'open', 'fs.open', makesFile);
counted(fs, 'openSync', 'fs.open', makesFile);

const handle = await fs.promises.open(import.meta.filename);
const ofHandle = Object.getPrototypeOf(handle);
await handle.close();
for (const name of ['appendFile', 'chmod', 'datasync', 'sync', 'truncate', 'write', 'writeFile', 'writev'])
  counted(ofHandle, name, `file.${name}`);
counted(net.Socket.prototype, '_write', 'socket.write');
counted(net.Socket.prototype, '_writev', 'socket.write');
syncBuiltinESMExports();

if (list !== undefined) process.on('exit', () => writeFileSync(list, effects.join('\n')));
