//! Kinds of resources: what each is known by, and what `Ref` and `Fn::GetAtt` give for it.

use std::collections::BTreeMap;

use super::Context;

/// What a resource is to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    Stream,
    Table,
    Queue,
    Function,
    HttpApi,
    Mapping,
    Alarm,
    /// Permissions and log groups: nothing here could break them, nothing here enforces them.
    Unenforced(&'static str),
    /// What a user would see on AWS and does not see here: each type is named in a warning.
    NotRun(&'static str),
}

/// The types that are run.
pub(super) const RUN: [(&str, Type); 7] = [
    ("AWS::Kinesis::Stream", Type::Stream),
    ("AWS::DynamoDB::Table", Type::Table),
    ("AWS::SQS::Queue", Type::Queue),
    ("AWS::Serverless::Function", Type::Function),
    ("AWS::Serverless::HttpApi", Type::HttpApi),
    ("AWS::Lambda::EventSourceMapping", Type::Mapping),
    ("AWS::CloudWatch::Alarm", Type::Alarm),
];
const UNENFORCED: [&str; 8] = [
    "AWS::IAM::Role",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::SQS::QueuePolicy",
];
/// A consumer with enhanced fan-out. Here everybody polls, and whoever reads from it reads its stream.
pub(super) const STREAM_CONSUMER: &str = "AWS::Kinesis::StreamConsumer";
const NOT_RUN: [&str; 6] = [
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    STREAM_CONSUMER,
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
];

impl Type {
    pub(super) fn of(name: &str) -> Option<Self> {
        let run = RUN.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind);
        let unenforced = || UNENFORCED.into_iter().find(|known| *known == name).map(Self::Unenforced);
        let not_run = || NOT_RUN.into_iter().find(|known| *known == name).map(Self::NotRun);
        run.or_else(unenforced).or_else(not_run)
    }

    /// The property that names it, how long the name may be and which characters it may have besides letters and
    /// digits. Only for what has a physical name on this machine.
    ///
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>,
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>,
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>,
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>
    pub(super) fn name_rule(self) -> Option<(&'static str, std::ops::RangeInclusive<usize>, &'static str)> {
        match self {
            Self::Stream => Some(("Name", 1..=128, "_.-")),
            Self::Table => Some(("TableName", 3..=255, "_.-")),
            Self::Queue => Some(("QueueName", 1..=80, "_-")),
            Self::Function => Some(("FunctionName", 1..=64, "_-")),
            Self::HttpApi | Self::Mapping | Self::Alarm | Self::Unenforced(_) | Self::NotRun(_) => None,
        }
    }

    /// What `Fn::GetAtt` can ask for; `None` is anything, of what is not run here.
    pub(super) fn attributes(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Stream | Self::Table | Self::Function | Self::Alarm => Some(&["Arn"]),
            Self::Queue => Some(&["Arn", "QueueName", "QueueUrl"]),
            Self::HttpApi => Some(&["ApiEndpoint", "ApiId"]),
            Self::Mapping => Some(&["Id", "EventSourceMappingArn"]),
            Self::Unenforced(_) | Self::NotRun(_) => None,
        }
    }
}

/// What a resource is known by.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The physical name.
    pub(super) name: String,
    /// What `Ref` gives.
    pub(super) reference: String,
    attributes: BTreeMap<&'static str, String>,
    /// What any other attribute gives.
    other: Option<String>,
}

impl Identity {
    /// The identity of a resource with this physical name.
    pub(super) fn new(kind: Type, name: String, context: &Context) -> Self {
        let Context { region, account_id, sqs_endpoint, .. } = context;
        let arn = |service: &str, rest: &str| format!("arn:aws:{service}:{region}:{account_id}:{rest}");
        let mut other = None;
        let (reference, attributes) = match kind {
            Type::Stream => (name.clone(), [("Arn", arn("kinesis", &format!("stream/{name}")))].into()),
            Type::Table => (name.clone(), [("Arn", arn("dynamodb", &format!("table/{name}")))].into()),
            Type::Function => (name.clone(), [("Arn", arn("lambda", &format!("function:{name}")))].into()),
            Type::Alarm => (name.clone(), [("Arn", arn("cloudwatch", &format!("alarm:{name}")))].into()),
            Type::Queue => {
                let url = format!("{sqs_endpoint}/{account_id}/{name}");
                let attributes = [("Arn", arn("sqs", &name)), ("QueueName", name.clone()), ("QueueUrl", url.clone())];
                (url, attributes.into())
            }
            Type::HttpApi => {
                let id = name.to_lowercase();
                (id.clone(), [("ApiEndpoint", format!("https://{id}.local")), ("ApiId", id)].into())
            }
            Type::Mapping => {
                let arn = arn("lambda", &format!("event-source-mapping:{name}"));
                (name.clone(), [("Id", name.clone()), ("EventSourceMappingArn", arn)].into())
            }
            // what is not run has a name all the same, for those that refer to it
            Type::Unenforced(of) | Type::NotRun(of) => {
                let service = of.split("::").nth(1).unwrap_or_default().to_lowercase();
                let arn = arn(&service, &name);
                other = Some(arn.clone());
                let by_arn = matches!(of, "AWS::SNS::Topic" | "AWS::IAM::ManagedPolicy" | STREAM_CONSUMER);
                (if by_arn { arn } else { name.clone() }, BTreeMap::new())
            }
        };
        Self { name, reference, attributes, other }
    }

    /// What `Fn::GetAtt` gives.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).or(self.other.as_ref()).map(String::as_str)
    }

    pub(super) fn arn(&self) -> &str {
        self.attribute("Arn").unwrap_or_default()
    }
}
