// Entry of the program: hands the arguments to the command line and ends with its exit code.

import { runCommandLine } from './interfaces/cli/program.ts';

process.exitCode = await runCommandLine(process.argv.slice(2));
