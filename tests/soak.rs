//! Does a short soak end well? `make soak` runs the same for minutes.

use std::process::Command;

use acceptance::repository;
use anyhow::{Result, ensure};

#[test]
fn while_servers_break_and_workers_run_no_value_is_wrong_and_no_answer_late() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_soak"))
        .env("MINUTES", "0.3")
        // The failures of one seed, which come in the same order each time; `make soak` takes another in each run.
        .env("SEED", "21")
        .output()?;
    let told = String::from_utf8(output.stdout)?;
    println!("{told}");
    let error = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{told}{error}");
    ensure!(told.contains("all was well"), "{told}");
    Ok(())
}

/// Two targets take `MINUTES`, and each has a number of its own.
#[test]
fn make_goes_on_for_as_long_as_the_pages_say() -> Result<()> {
    for (target, recipe, page, said) in [
        (
            "soak",
            "MINUTES=5 SEED=",
            "README.md",
            "in every way for five minutes",
        ),
        (
            "fuzz",
            "fuzz/run.sh 18 ",
            "fuzz/README.md",
            "every target, 18 minutes in all",
        ),
    ] {
        let output = Command::new("make")
            .args(["--dry-run", target])
            .env_remove("MAKEFLAGS")
            .env_remove("MINUTES")
            .current_dir(repository())
            .output()?;
        let told = String::from_utf8(output.stdout)?;
        assert!(told.contains(recipe), "{target}: {told}");
        let page = std::fs::read_to_string(repository().join(page))?;
        assert!(page.contains(said), "{target}");
    }
    Ok(())
}
