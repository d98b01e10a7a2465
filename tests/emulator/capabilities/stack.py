"""CloudFormation, and what would put the edge and the consumer groups inside the emulator."""

import contextlib
import io
import json
import time
import urllib.parse
import urllib.request
import zipfile

from botocore.exceptions import ClientError
from check import check, fresh, refused, same

WAIT_MAX = 40
HANDLER = """
import json
def handler(event, context):
    return {"statusCode": 202, "body": json.dumps(event)}
"""
LAMBDA = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [LAMBDA]}


def code():
    """A function in Python, as a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", HANDLER)
    return packed.getvalue()


@contextlib.contextmanager
def function(account):
    """A function for one check."""
    client, iam, name = account.client("lambda"), account.client("iam"), fresh("f")
    role = iam.create_role(RoleName=fresh("r"), AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    settings = {"Runtime": "python3.12", "Handler": "index.handler", "Timeout": 20, "Role": role}
    made = client.create_function(FunctionName=name, Code={"ZipFile": code()}, **settings)
    try:
        yield client, name, made["FunctionArn"]
    finally:
        with contextlib.suppress(Exception):
            client.delete_function(FunctionName=name)


def deploy(account, template):
    """Makes a stack, and gives how it is described at the end."""
    cloudformation, name = account.client("cloudformation"), fresh("stack")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    end = time.monotonic() + WAIT_MAX
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > end:
            return name, stack
        time.sleep(0.3)


def post(account, url, body=b'{"data":"\xc3\xbc"}'):
    """What a POST is answered with. The emulator is asked by its address, and told the name: that need not resolve."""
    parts = urllib.parse.urlsplit(url)
    headers = {"content-type": "application/cloudevents+json", "host": parts.netloc}
    request = urllib.request.Request(account.endpoint + parts.path, data=body, method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=40) as answer:
        return answer.status, answer.read()


@check("stack")
def describes_a_stack(account):
    """DescribeStacks gives outputs, and says of a missing stack that it does not exist"""
    outputs = {"Url": {"Value": {"Ref": "Queue"}}, "Text": {"Value": {"Fn::Sub": '{"a":"${Queue.Arn}"}'}}}
    _, stack = deploy(account, {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs})
    same(stack["StackStatus"], "CREATE_COMPLETE")
    found = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    same(found["Url"].startswith("http"), True, found["Url"])
    same(json.loads(found["Text"])["a"].startswith("arn:aws:sqs:"), True, found["Text"])
    error = refused("ValidationError", account.client("cloudformation").describe_stacks, StackName=fresh("gone"))
    same("not exist" in str(error), True, str(error))


@check("stack")
def unknown_types_fail(account):
    """A stack with a resource of an unknown type is refused or fails"""
    try:
        _, stack = deploy(account, {"Resources": {"Alias": {"Type": "AWS::Nothing::AtAll", "Properties": {}}}})
    except ClientError as error:
        return same(error.response["Error"]["Code"], "ValidationError")
    same("ROLLBACK" in stack["StackStatus"] or "FAILED" in stack["StackStatus"], True, stack["StackStatus"])


@check("stack")
def stream_properties(account):
    """CloudFormation keeps a stream's shards, retention and encryption"""
    encryption = {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    properties = {"ShardCount": 2, "RetentionPeriodHours": 48, "StreamEncryption": encryption}
    resources = {"S": {"Type": "AWS::Kinesis::Stream", "Properties": properties}}
    _, stack = deploy(account, {"Resources": resources, "Outputs": {"N": {"Value": {"Ref": "S"}}}})
    name = stack["Outputs"][0]["OutputValue"]
    found = account.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    same((found["OpenShardCount"], found["RetentionPeriodHours"], found.get("EncryptionType")), (2, 48, "KMS"))


@check("stack")
def runs_a_function(account):
    """Lambda invokes a function"""
    with function(account) as (client, name, _):
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        answer = client.invoke(FunctionName=name, Payload=b'{"a": 1}')
        payload = answer["Payload"].read()
        same(answer.get("FunctionError"), None, payload[:200])
        same(json.loads(json.loads(payload)["body"]), {"a": 1})


@check("stack")
def http_api(account):
    """API Gateway v2: an HTTP API can be made"""
    account.client("apigatewayv2").create_api(Name=fresh("api"), ProtocolType="HTTP")


@check("stack")
def http_api_answers(account):
    """API Gateway v2: its route invokes the function with payload 2.0, a body of another type than text in base64"""
    with function(account) as (_, _, arn):
        v2 = account.client("apigatewayv2")
        api = v2.create_api(Name=fresh("api"), ProtocolType="HTTP")
        proxy = {"IntegrationType": "AWS_PROXY", "IntegrationUri": arn, "PayloadFormatVersion": "2.0"}
        integration = v2.create_integration(ApiId=api["ApiId"], **proxy)
        v2.create_route(ApiId=api["ApiId"], RouteKey="POST /v1/events", Target=f"integrations/{integration['IntegrationId']}")
        v2.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
        status, body = post(account, api["ApiEndpoint"] + "/v1/events")
        event = json.loads(body)
        same((status, event["version"], event["isBase64Encoded"]), (202, "2.0", True))


@check("stack")
def rest_api(account):
    """API Gateway v1: a REST API with a Lambda proxy can be made"""
    v1 = account.client("apigateway")
    api = v1.create_rest_api(name=fresh("api"), binaryMediaTypes=["*/*"])["id"]
    root = v1.get_resources(restApiId=api)["items"][0]["id"]
    proxy = v1.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    v1.put_method(restApiId=api, resourceId=proxy, httpMethod="ANY", authorizationType="NONE")


@check("stack")
def function_url(account):
    """Lambda: a function URL can be made"""
    with function(account) as (client, name, _):
        same(client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"].startswith("http"), True)


@check("stack")
def function_url_answers(account):
    """Lambda: a function URL invokes the function with payload 2.0, a body of another type than text in base64"""
    with function(account) as (client, name, _):
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        url = client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        status, body = post(account, url)
        event = json.loads(body)
        same((status, event["version"], event["isBase64Encoded"]), (202, "2.0", True))


@check("stack")
def kinesis_mapping(account):
    """Lambda: an event source mapping of a stream keeps what template.yaml gives it"""
    kinesis, stream = account.client("kinesis"), fresh("s")
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    queue = account.client("sqs").create_queue(QueueName=fresh("q"))["QueueUrl"]
    queue = account.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    arn = kinesis.describe_stream(StreamName=stream)["StreamDescription"]["StreamARN"]
    wanted = {
        "BatchSize": 500, "BisectBatchOnFunctionError": True, "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": 72000,
        "FunctionResponseTypes": ["ReportBatchItemFailures"], "ParallelizationFactor": 1, "StartingPosition": "TRIM_HORIZON",
        "DestinationConfig": {"OnFailure": {"Destination": queue}},
    }
    with function(account) as (client, name, _):
        made = client.create_event_source_mapping(FunctionName=name, EventSourceArn=arn, **wanted)
        try:
            found = client.get_event_source_mapping(UUID=made["UUID"])
            lost = {key: found.get(key) for key, value in wanted.items() if found.get(key) != value}
            same(lost, {}, "not kept")
        finally:
            with contextlib.suppress(Exception):
                client.delete_event_source_mapping(UUID=made["UUID"])
