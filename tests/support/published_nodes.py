"""A `published_nodes.json` with every field of the format, made for the tests."""

_NODES: list[dict[str, object]] = [
    {
        "Id": "nsu=urn:acme:press;s=Temp", "DisplayName": "Temperature", "DataSetFieldId": "temp",
        "DataSetClassFieldId": "0d0b4d4e-2a46-4c0e-8f0a-6a0a1f3c7b11", "DataSetFieldName": "T",
        "FetchDisplayName": True,
        "OpcPublishingInterval": 2000, "OpcSamplingInterval": 500, "HeartbeatInterval": 30,
        "HeartbeatBehavior": "WatchdogLKV", "SkipFirst": True, "QueueSize": 7, "AutoSetQueueSize": True,
        "DiscardNew": True, "DataChangeTrigger": "StatusValueTimestamp", "DeadbandType": "Absolute",
        "DeadbandValue": 0.5, "AttributeId": "Value", "IndexRange": "0:3", "RegisterNode": True,
        "QualityOfService": "AtLeastOnce", "Topic": "own", "TypeDefinitionId": "i=63",
        "TriggeredNodes": [{"Id": "i=9"}], "MethodMetadata": {"ObjectId": "i=1"},
    },
    {
        "ExpandedNodeId": "ns=2;i=5", "OpcPublishingIntervalTimespan": "00:00:01.5",
        "OpcSamplingIntervalTimespan": "00:00:00.1", "HeartbeatIntervalTimespan": "00:01:00",
        "DeadbandType": "Percent", "DeadbandValue": 5,
    },
    {"Id": "i=85", "BrowsePath": ["Line1", "2:Speed"]},
    {"Id": "i=84", "ModelChangeHandling": {"RebrowseIntervalTimespan": "12:00:00"}},
    {
        "Id": "i=2253", "DisplayName": "Alarms", "ConditionHandling": {"UpdateInterval": 10, "SnapshotInterval": 20},
        "EventFilter": {
            "TypeDefinitionId": "i=2041", "WhereClause": {"Elements": [{"FilterOperator": "OfType"}]},
            "SelectClauses": [{"BrowsePath": ["Message"]}, {"BrowsePath": ["/0:Severity"]}],
        },
    },
    {
        "Id": "nsu=urn:acme:press;s=Cyclic", "UseCyclicRead": True, "CyclicReadMaxAge": 100,
        "CyclicReadMaxAgeTimespan": "00:00:00.1",
    },
]  # fmt: skip

EVERY_FIELD: list[dict[str, object]] = [
    {
        "Version": 3, "LastChangeDateTime": "2026-11-30T08:00:00Z", "LastChangeTimespan": "2026-11-30T08:00:00Z",
        "DataSetWriterGroup": "shop", "DataSetWriterId": "press-1", "DataSetName": "Press",
        "DataSetDescription": "a press",
        "DataSetClassId": "0d0b4d4e-2a46-4c0e-8f0a-6a0a1f3c7b11", "DataSetType": "x", "DataSetRootNodeId": "i=85",
        "DataSetSourceUri": "urn:x", "DataSetSubject": "x", "DataSetRouting": "UseBrowseNames",
        "DataSetWriterWatchdogBehavior": "Diagnostic", "DataSetFetchDisplayNames": True, "DataSetKeyFrameCount": 10,
        "DataSetPublishingInterval": 1000, "DataSetPublishingIntervalTimespan": "00:00:01",
        "DataSetSamplingInterval": 1000, "DataSetSamplingIntervalTimespan": "00:00:01",
        "DataSetExtensionFields": {"Line No": 7}, "DefaultHeartbeatInterval": 10,
        "DefaultHeartbeatIntervalTimespan": "00:00:10", "DefaultHeartbeatBehavior": "WatchdogLKG",
        "MetaDataUpdateTime": 1000, "MetaDataUpdateTimeTimespan": "00:00:01", "MetaDataQueueName": "meta",
        "MetaDataRetention": True, "MetaDataTtlTimespan": "00:00:01", "SendKeepAliveDataSetMessages": True,
        "SendKeepAliveAsKeyFrameMessages": True, "MaxKeepAliveCount": 5, "MessagingMode": "PubSub",
        "MessageEncoding": "JsonGzip", "BatchSize": 50, "BatchTriggerInterval": 100,
        "BatchTriggerIntervalTimespan": "00:00:00.1", "Priority": 3, "QualityOfService": "AtLeastOnce",
        "QueueName": "q", "MessageRetention": False, "MessageTtlTimespan": "01:00:00", "WriterGroupPriority": 1,
        "WriterGroupPartitions": 2, "WriterGroupProperties": {"a": "b"}, "WriterGroupTransport": "Mqtt",
        "WriterGroupType": "x", "WriterGroupExternalId": "x", "WriterGroupRootNodeId": "i=85",
        "WriterGroupQualityOfService": "AtMostOnce", "WriterGroupQueueName": "q", "WriterGroupMessageRetention": False,
        "WriterGroupMessageTtlTimespan": "01:00:00", "EndpointUrl": "opc.tcp://press:4840", "UseSecurity": True,
        "EndpointSecurityPolicy": "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256",
        "EndpointSecurityMode": "SignAndEncrypt", "UseReverseConnect": True, "DisableSubscriptionTransfer": True,
        "RepublishAfterTransfer": True, "DumpConnectionDiagnostics": True, "OpcAuthenticationMode": "UsernamePassword",
        "OpcAuthenticationUsername": "ann", "OpcAuthenticationPassword": "hunter2", "EncryptedAuthUsername": "eHg=",
        "EncryptedAuthPassword": "eHg=", "ClientCertificateId": "x", "AdditionalConfiguration": {"a": 1},
        "OpcNodes": _NODES,
    },
    {"EndpointUrl": "opc.tcp://other:4840", "UseSecurity": False, "NodeId": {"Identifier": "i=2258"}},
]  # fmt: skip
