//! Operands of which the last is the target: one list for clap, so that options may stand anywhere
//! between them.

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// How clap calls the list.
const ID: &str = "operands";

/// The option that stands in for the first operands, where a command has it.
const LIST: &str = "files_from";

/// A target as the last operand.
pub trait LastOperand: FromStr<Err: Display> + Clone {
    /// How the operands before it are called in help.
    const FIRST: &'static str;
    /// How it is called.
    const NAME: &'static str;
    /// What all of them are.
    const HELP: &'static str;
}

/// Sources, and where to.
#[derive(Clone, Debug)]
pub struct Operands<T> {
    /// Paths of this machine, in order; none only where a list names them.
    pub sources: Vec<PathBuf>,
    /// Where to.
    pub target: T,
}

impl<T: LastOperand> Args for Operands<T> {
    fn augment_args(command: Command) -> Command {
        let list = Arg::new(ID)
            .value_names([T::FIRST, T::NAME])
            .value_parser(ValueParser::os_string())
            .num_args(1..)
            .action(ArgAction::Append)
            .required(true)
            .help(T::HELP);
        command.arg(list)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: LastOperand> FromArgMatches for Operands<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = matches.get_many::<OsString>(ID).unwrap_or_default();
        let mut sources: Vec<PathBuf> = given.map(PathBuf::from).collect();
        let last = sources.pop().unwrap_or_default();
        let text = last.to_string_lossy();
        let target = text.parse().map_err(|error| {
            let (shown, name) = (text.chars().take(120).collect::<String>(), T::NAME);
            let what = format!("invalid value '{shown}' for '<{name}>': {error}\n");
            Error::raw(ErrorKind::ValueValidation, what)
        })?;
        let listed = matches.try_contains_id(LIST).is_ok_and(|is_given| is_given);
        if sources.is_empty() && !listed {
            let what = format!("<{}> is missing before '{text}'\n", T::FIRST);
            return Err(Error::raw(ErrorKind::MissingRequiredArgument, what));
        }
        Ok(Self { sources, target })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
