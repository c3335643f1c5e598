//! The limit: a pipeline that sends the very commands that the exporter sends, reads the replies and drops them.
//!
//! It knows the commands beforehand. The exporter has to read the first replies of a queue before it knows what else to ask.

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline};
use tokio::runtime::Runtime;

use crate::recording::{Command, Recording};

/// Runs the commands that stand in its arguments, each behind the number of its words.
const SCRIPT: &str = "local i, replies = 1, {}
while i <= #ARGV do
  local words = tonumber(ARGV[i])
  replies[#replies + 1] = redis.pcall(unpack(ARGV, i + 1, i + words))
  i = i + words + 1
end
return replies";

/// How the commands are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// How many queues are asked in one pipeline.
    pub(crate) batch: usize,
    /// How many pipelines are under way at once.
    pub(crate) in_flight: usize,
    /// What holds the commands together.
    pub(crate) unit: Unit,
}

/// What holds commands together that Redis runs without letting another client in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The transactions that the exporter sends: one a queue.
    AsSent,
    /// Nothing.
    Nothing,
    /// One transaction a pipeline.
    Transaction,
    /// One script a pipeline.
    Script,
}

/// How the exporter sends them.
pub(crate) const AS_THE_EXPORTER: Manner = Manner {
    batch: 100,
    in_flight: 4,
    unit: Unit::AsSent,
};

/// Pipelines that are ready to be sent.
pub(crate) struct Bare {
    runtime: Runtime,
    connection: MultiplexedConnection,
    pipelines: Vec<Pipeline>,
    in_flight: usize,
}

impl Bare {
    /// Makes them ready for the Redis at this address.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(crate) fn new(url: &str, recording: &Recording, manner: Manner) -> Result<Self> {
        let runtime = Runtime::new()?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let client = Client::open(url)?;
        let connection = runtime
            .block_on(client.get_multiplexed_async_connection_with_config(&config))
            .context("the bare pipeline")?;
        let of_server = pipeline(recording.server.iter(), Unit::AsSent);
        let of_queues = recording.queues.chunks(manner.batch);
        let of_queues = of_queues.map(|queues| pipeline(queues.iter().flatten(), manner.unit));
        Ok(Self {
            runtime,
            connection,
            pipelines: std::iter::once(of_server).chain(of_queues).collect(),
            in_flight: manner.in_flight,
        })
    }

    /// Sends everything once.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn scrape(&mut self) -> Result<()> {
        let (connection, in_flight) = (&self.connection, self.in_flight);
        let sent = stream::iter(&self.pipelines)
            .map(|pipeline| async move {
                let mut connection = connection.clone();
                connection
                    .send_packed_commands(pipeline, 0, pipeline.len())
                    .await
                    .map(drop)
            })
            .buffer_unordered(in_flight)
            .try_collect::<()>();
        Ok(self.runtime.block_on(sent)?)
    }
}

fn pipeline<'a>(commands: impl Iterator<Item = &'a Command>, unit: Unit) -> Pipeline {
    let mut pipeline = Pipeline::new();
    let is_of_transaction =
        |command: &Command| matches!(command.first().map(Vec::as_slice), Some(b"MULTI" | b"EXEC"));
    let commands = commands.filter(|command| unit == Unit::AsSent || !is_of_transaction(command));
    match unit {
        Unit::AsSent | Unit::Nothing | Unit::Transaction => {
            if unit == Unit::Transaction {
                pipeline.cmd("MULTI");
            }
            for command in commands {
                add(&mut pipeline, command);
            }
            if unit == Unit::Transaction {
                pipeline.cmd("EXEC");
            }
        }
        Unit::Script => {
            pipeline.cmd("EVAL").arg(SCRIPT).arg(0);
            for command in commands {
                pipeline.arg(command.len());
                for word in command {
                    pipeline.arg(word.as_slice());
                }
            }
        }
    }
    pipeline
}

fn add(pipeline: &mut Pipeline, command: &Command) {
    let mut words = command.iter();
    if let Some(name) = words.next() {
        pipeline.cmd(&String::from_utf8_lossy(name));
        for word in words {
            pipeline.arg(word.as_slice());
        }
    }
}
