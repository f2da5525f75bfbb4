//! The part `python`: the wheels, what is around them in pypi/, and its tests on every CPython that is here.

mod checks;
mod environment;
mod wheels;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::environment::Environment;
use self::wheels::Wheels;
use crate::backend::Backend;
use crate::project::Project;
use crate::steps::{Done, Steps, Stop};
use crate::test::Options;
use crate::tools::{self, FREE_THREADED, LINES, Line, NEWEST, Node};
use crate::{bench as benches, run};

pub(crate) use self::checks::check_manifest;

/// What the package is measured with: one of the peers does not run on the newest.
const BENCH: [&str; 3] = ["3.13", "3.12", "3.11"];

/// What a clean environment is asked, which has nothing but the package.
const SMOKE: &str = "import picobase; \
    print('picobase', picobase.__version__, picobase.filter('title = {:title}', {'title': 'a'})); \
    picobase.Client('http://127.0.0.1:1').close()";

/// Tests of what the interpreter gives: types, bodies, event loops, threads, forks, signals.
const MEETS_THE_INTERPRETER: [&str; 9] = [
    "tests/test_bodies.py",
    "tests/test_fork.py",
    "tests/test_hooks.py",
    "tests/test_interrupt.py",
    "tests/test_realtime.py",
    "tests/test_records.py",
    "tests/test_runtime.py",
    "tests/test_threads.py",
    "tests/test_typed.py",
];

/// Leaves out the test that takes longest.
const WITHOUT_LEAKS: &str = "--ignore=tests/test_leaks.py";

/// An interpreter that is here.
struct Interpreter {
    line: Line,
    program: PathBuf,
}

impl Interpreter {
    /// The interpreter of this line, built if need be.
    fn ensure(project: &Project, steps: &mut Steps, line: Line) -> Result<Self, Stop> {
        let tool = tools::cpython(line);
        steps.run(&tool.to_string(), || {
            let program = tool.ensure(project)?;
            println!("{}", program.display());
            Ok(Self { line, program })
        })
    }
}

/// Builds what ships.
pub(crate) fn build(project: &Project, steps: &mut Steps) -> Result<(), Stop> {
    let newest = Interpreter::ensure(project, steps, NEWEST)?;
    let free_threaded = Interpreter::ensure(project, steps, FREE_THREADED)?;
    Wheels::build(project, steps, &[newest, free_threaded])?;
    steps.run("sdist", || wheels::sdist(project)).map(drop)
}

/// Checks the sources, then tests what ships on each interpreter, installed as users install it.
pub(crate) fn test(project: &Project, backend: &Backend, options: &Options, steps: &mut Steps) -> Result<(), Stop> {
    let interpreters = interpreters(project, steps, &options.python)?;
    let newest = steps.run("the interpreter for tools", || newest(&interpreters))?;
    let wheels = Wheels::build(project, steps, &interpreters)?;
    checks::run(project, steps, newest, &wheels)?;
    let vectors = steps.run("wheel for the vectors", || wheels::for_vectors(project, newest))?;
    steps.run(&format!("vectors, {}", newest.line), || {
        let environment = Environment::with(project, newest, "test", "vectors", &vectors)?;
        pytest(&environment, backend, &project.root.join("pypi"), &["tests/vectors"])
    })?;
    for interpreter in &interpreters {
        steps.run(&format!("pytest, {}", interpreter.line), || {
            let environment = Environment::with(project, interpreter, "test", "test", wheels.of(interpreter.line)?)?;
            pytest(&environment, backend, &project.root.join("pypi"), &suite(&interpreters, interpreter))
        })?;
    }
    steps.run("sdist, in a clean environment", || {
        let environment = Environment::clean(project, newest)?;
        environment.build_and_install(project, &wheels::sdist(project)?)?;
        run::run(environment.command("python").args(["-I", "-c", SMOKE]))
    })?;
    examples(project, backend, steps, newest, &wheels)
}

/// What is run on an interpreter. The tests spend their time waiting, so several processes share them. The module and the sources are
/// the same everywhere: what a hundred thousand calls leave behind is counted once, and between the first and the last lines it
/// is enough to run what meets the interpreter itself.
fn suite(all: &[Interpreter], interpreter: &Interpreter) -> Vec<&'static str> {
    let whole = ["tests", "--ignore=tests/vectors"].as_slice();
    let is_first = all.first().is_some_and(|first| first.line == interpreter.line);
    let tests = match interpreter.line {
        NEWEST => whole.to_vec(),
        FREE_THREADED => [whole, &[WITHOUT_LEAKS]].concat(),
        _ if is_first => [whole, &[WITHOUT_LEAKS]].concat(),
        _ => MEETS_THE_INTERPRETER.to_vec(),
    };
    [tests.as_slice(), &["--numprocesses=6", "--dist=worksteal"]].concat()
}

/// The lines that were asked for; else those that are here and those that can be built. The summary names what is not run.
fn interpreters(project: &Project, steps: &mut Steps, wanted: &[Line]) -> Result<Vec<Interpreter>, Stop> {
    let mut found = Vec::new();
    for line in LINES.into_iter().filter(|line| wanted.is_empty() || wanted.contains(line)) {
        let tool = tools::cpython(line);
        if wanted.is_empty() && !line.can_be_built() && tool.find(project).is_none() {
            steps.attempt(&tool.to_string(), || Ok(Done::Skipped("NOT RUN, it is not here".to_owned())));
        } else {
            found.push(Interpreter::ensure(project, steps, line)?);
        }
    }
    Ok(found)
}

/// The newest one that tools run with: the free-threaded one where there is no other.
fn newest(interpreters: &[Interpreter]) -> Result<&Interpreter> {
    let newest = interpreters.iter().rfind(|interpreter| interpreter.line != FREE_THREADED);
    newest.or_else(|| interpreters.first()).context("there is no interpreter")
}

/// What an example is checked with, beside its tests.
const EXAMPLE_CHECKS: [&[&str]; 3] = [&["ruff", "check"], &["ruff", "format", "--check"], &["mypy"]];

/// Each with its own settings and tests, as its reader would run it; the pages of one are clicked through as well.
fn examples(
    project: &Project,
    backend: &Backend,
    steps: &mut Steps,
    interpreter: &Interpreter,
    wheels: &Wheels,
) -> Result<(), Stop> {
    let environment = steps.run("environment for examples", || {
        Environment::with(project, interpreter, "check", "check", wheels.of(interpreter.line)?)
    })?;
    for example in ["flask", "fastapi"] {
        steps.run(&format!("example {example}"), || {
            let folder = project.root.join("examples").join(example);
            for check in EXAMPLE_CHECKS {
                let Some((program, args)) = check.split_first() else { continue };
                run::run(environment.command(program).args(args).current_dir(&folder))?;
            }
            pytest(&environment, backend, &folder, &[])
        })?;
    }
    let node = steps.run("node and its packages", || Node::ensure(project))?;
    let chromium = steps.run("chromium", || tools::chromium().ensure(project))?;
    steps.run("example flask, in Chromium", || {
        let mut e2e = node.script(project, "examples/flask/e2e/run.mjs");
        environment.lend(&mut e2e);
        run::run(backend.apply(e2e.env("PICOBASE_CHROMIUM", &chromium)))
    })
}

fn pytest(environment: &Environment, backend: &Backend, folder: &Path, args: &[&str]) -> Result<()> {
    let mut pytest = environment.command("pytest");
    pytest.args(args).current_dir(folder);
    run::run(backend.apply(&mut pytest))
}

/// The package against its peers.
pub(crate) fn bench(project: &Project, backend: &Backend, steps: &mut Steps) -> Result<(), Stop> {
    let interpreter = steps.run("python for the bench", || {
        let here = |line: Line| Some(Interpreter { line, program: tools::cpython(line).find(project)? });
        let found = BENCH.iter().filter_map(|line| line.parse().ok()).find_map(here);
        found.with_context(|| format!("none of Python {} is here", BENCH.join(", ")))
    })?;
    let wheels = Wheels::build(project, steps, std::slice::from_ref(&interpreter))?;
    benches::build(project, steps)?;
    steps.run(&format!("bench python, {}", interpreter.line), || {
        let environment = Environment::with(project, &interpreter, "bench", "bench", wheels.of(interpreter.line)?)?;
        let async_peer = environment.folder_with(project, "bench-async")?;
        benches::report(project, "python", |out| {
            let mut command = environment.command("python");
            command.arg(project.root.join("tests/bench/python/bench.py")).arg("--out").arg(out);
            command.env("PICOBASE_BENCH_BIN", project.built("release", "picobase-bench"));
            command.env("PICOBASE_BENCH_ASYNC_PEER", &async_peer);
            run::run(backend.apply(&mut command))
        })
    })
}
