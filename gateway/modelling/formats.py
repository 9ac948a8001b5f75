"""The list of all formats of models: the only place that knows them all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.modelling.aas import aas, aasx
from gateway.modelling.asyncapi import asyncapi
from gateway.modelling.description import Description, Told
from gateway.modelling.dtdl import dtdl
from gateway.modelling.json_schema import json_schema
from gateway.modelling.nodeset import nodeset
from gateway.modelling.samm import samm
from gateway.modelling.wot import wot

Writer = Callable[[Description, Told], Iterator[str]] | Callable[[Description, Told], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """One format of models."""

    about: str
    """What it is, for `--help` and the reference."""
    write: Writer
    """The model in pieces.  `Told` gets what the format cannot say."""


MODEL_FORMATS: Mapping[str, ModelFormat] = {
    "json-schema": ModelFormat("JSON Schema 2020-12 of the messages, by topic", json_schema),
    "asyncapi": ModelFormat("AsyncAPI 3.0: brokers, topics, messages, commands, presence", asyncapi),
    "wot": ModelFormat("W3C WoT Thing Description 1.1: properties, events, actions", wot),
    "dtdl": ModelFormat("DTDL v3: an interface for each machine", dtdl),
    "samm": ModelFormat("SAMM 2.2 aspect model in Turtle, with units of its catalogue", samm),
    "aas": ModelFormat("Asset Administration Shell 3.0 (JSON)", aas),
    "aasx": ModelFormat("the same as an AASX package", aasx),
    "nodeset2": ModelFormat("OPC UA NodeSet of the selected variables and their types", nodeset),
}
