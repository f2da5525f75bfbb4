// Both compilers, both ways to find a package, our declarations included in what is checked.
import { execFileSync } from "node:child_process";

for (const compiler of ["typescript", "typescript5"]) {
  for (const resolution of ["nodenext", "bundler"]) {
    execFileSync(process.execPath, [`node_modules/${compiler}/bin/tsc`, "-p", `tsconfig.${resolution}.json`], { stdio: "inherit" });
    console.log(`${compiler}, ${resolution}: no errors`);
  }
}
