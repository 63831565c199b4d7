// Entry of the program: hands the arguments to the command line and ends with its exit code.

import { runCommandLine } from './interfaces/cli/program.ts';

/** Whoever read our words may have seen enough (`| head`); the work goes on to its end. */
function forgiveClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

// Whoever kills the launcher means this program, and nobody else could still stop it.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
for (const stream of [process.stdout, process.stderr]) stream.on('error', forgiveClosedPipe);
process.exitCode = await runCommandLine(process.argv.slice(2));
