use super::*;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

fn planned(project: &Project, name: &str, kind: Kind) -> Result<Group, String> {
    plan(project, name, kind).map_err(|error| format!("{error:#}"))
}

fn block_of(name: &str) -> Block {
    Block::of(&Name::parse(name).unwrap(), Kind::Projection)
}

#[test]
fn both_kinds_fit_the_template_that_deploys_and_are_told_by_its_reader() {
    for kind in [Kind::Handler, Kind::Projection] {
        let project = Project::of(TEMPLATE, &[]);
        let group = planned(&project, "order-totals", kind).unwrap();
        assert_eq!(group.changes.len(), 2);
        let text = project.template_with(&group.name, &Block::of(&group.name, kind)).unwrap();
        let lines: std::collections::HashSet<_> = text.lines().collect();
        assert_eq!(TEMPLATE.lines().find(|line| !lines.contains(line)), None, "a line is gone");

        let error = planned(&Project::of(&text, &[]), "order-totals", kind).unwrap_err();
        assert_eq!(error, "`order-totals` is a consumer group of template.yaml already; say `order-totals-group`");
    }
}

#[test]
fn a_name_that_something_has_is_refused_with_one_that_is_free() {
    let project = Project::of(TEMPLATE, &["penstock", "tokio", "proc_made", "ingest-group"]);
    for (name, why) in [
        ("order-status", "is a consumer group of template.yaml already; say `order-status-group`"),
        ("window", "would make a resource `Window`, and template.yaml has that name already; say `window-group`"),
        (
            "log-level",
            "would make a resource `LogLevel`, and template.yaml has that name already; say `log-level-group`",
        ),
        // the mapping that SAM makes of the event `Stream` of `OrderAlerts`
        ("order-alerts-stream", "would make a resource `OrderAlertsStream`"),
        ("tokio", "is a package that this workspace has or is built from; say `tokio-group`"),
        ("proc-made", "is a package that this workspace has or is built from; say `proc-made-group`"),
        ("ingest", "say `ingest-group-2`"),
        ("event", "would call its type `Event`, which its code has another of; say `event-group`"),
    ] {
        let error = planned(&project, name, Kind::Handler).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_group_whose_resources_meet_those_of_another_is_refused() {
    let project = Project::of(TEMPLATE, &[]);
    let text = project.template_with(&Name::parse("order").unwrap(), &block_of("order")).unwrap();
    let error = planned(&Project::of(&text, &[]), "order-state", Kind::Handler).unwrap_err();
    assert!(error.contains("would make a resource `OrderState`"), "{error}");
}

#[test]
fn a_name_of_another_shape_is_told_the_one_that_is_free() {
    let project = Project::of(TEMPLATE, &[]);
    for (name, like) in
        [("OrderReceipts", "order-receipts"), ("OrderStatus", "order-status-group"), ("_", "order-receipts")]
    {
        let error = planned(&project, name, Kind::Handler).unwrap_err();
        assert!(error.ends_with(&format!("begins with a letter; say `{like}`")), "{error}");
    }
}

#[test]
fn a_template_that_the_block_does_not_fit_is_refused_and_no_name_is_blamed() {
    // the group's function needs a table that is not there
    let small = "AWSTemplateFormatVersion: '2010-09-09'\nTransform: AWS::Serverless-2016-10-31\nResources:\n  Q:\n    \
                 Type: AWS::SQS::Queue\nOutputs:\n  Q:\n    Value: !Ref Q\n";
    let error = planned(&Project::of(small, &[]), "totals", Kind::Handler).unwrap_err();
    assert!(error.starts_with("with `totals` in it the template would not read, and nothing was changed: "), "{error}");
    assert!(error.contains("Progress") && !error.contains("say `"), "{error}");
}
