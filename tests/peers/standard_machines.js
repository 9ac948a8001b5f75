// Two machines as their specifications have them: `mill` with the state and the operation counters of Machinery
// (OPC 40001-1), `filler` with PackML (OPC 30050).  Their variables are set by name, with source times of a clock that moves
// only when it is told to.
"use strict";
const { DataType, Variant, VariantArrayType, StatusCodes, nodesets, coerceLocalizedText } = require("node-opcua");

const NODESETS = [nodesets.standard, nodesets.di, nodesets.ia, nodesets.machinery, nodesets.packML];

function addMill(space, own, variables) {
  const machinery = space.getNamespaceIndex("http://opcfoundation.org/UA/Machinery/");
  const mill = own.addObject({ browseName: "mill", organizedBy: space.rootFolder.objects });
  const blocks = own.addObject({ browseName: { name: "MachineryBuildingBlocks", namespaceIndex: machinery }, componentOf: mill });
  const state = space.findObjectType("MachineryItemState_StateMachineType", machinery)
    .instantiate({ browseName: { name: "MachineryItemState", namespaceIndex: machinery }, componentOf: blocks });
  const counters = space.findObjectType("MachineryOperationCounterType", machinery).instantiate({
    browseName: { name: "OperationCounters", namespaceIndex: machinery }, componentOf: blocks,
    optionals: ["OperationCycleCounter", "OperationDuration", "PowerOnDuration"],
  });
  variables.set("mill.State", state.getChildByName("CurrentState"));
  variables.set("mill.Cycles", counters.getChildByName("OperationCycleCounter"));
  for (const [name, dataType, value] of [["ScrapBin", "UInt32", 0], ["PlannedCycle", "Double", 10]]) {
    variables.set(`mill.${name}`, own.addVariable({ componentOf: mill, browseName: name, nodeId: `s=mill.${name}`, dataType,
      value: { dataType: DataType[dataType], value } }));
  }
}

function addFiller(space, own, variables) {
  const packml = space.getNamespaceIndex("http://opcfoundation.org/UA/PackML/");
  const filler = space.findObjectType("PackMLBaseObjectType", packml).instantiate({
    browseName: "filler", organizedBy: space.rootFolder.objects,
    optionals: ["Admin.ProdProcessedCount", "Admin.ProdDefectiveCount", "Admin.MachDesignSpeed"],
  });
  const at = (...path) => path.reduce((node, name) => node && node.getChildByName(name), filler);
  const base = ["BaseStateMachine"], machine = [...base, "MachineState"], execute = [...machine, "ExecuteState"];
  for (const [name, ...path] of [
    ["Base", ...base, "CurrentState"], ["Machine", ...machine, "CurrentState"], ["Execute", ...execute, "CurrentState"],
    ["Blocked", "Status", "EquipmentBlocked"], ["Processed", "Admin", "ProdProcessedCount"],
    ["Defective", "Admin", "ProdDefectiveCount"], ["Design", "Admin", "MachDesignSpeed"],
  ]) {
    if (!at(...path)) throw new Error(`no ${path.join("/")}`);
    variables.set(`filler.${name}`, at(...path));
  }
}

function addStandardMachines(space, own, variables) {
  addMill(space, own, variables);
  addFiller(space, own, variables);
  const counts = space.findDataType("PackMLCountDataType", space.getNamespaceIndex("http://opcfoundation.org/UA/PackML/"));
  let now = Date.now() + 10_000;  // after everything that the server wrote itself
  const pass = (seconds) => { now += 1000 * Number(seconds); };
  const set = (name, text) => {
    const variable = variables.get(name), at = new Date(now);
    const write = (value) => variable.setValueFromSource(value, StatusCodes.Good, at);
    if (/State|Base|Machine|Execute/.test(name)) {
      write({ dataType: DataType.LocalizedText, value: coerceLocalizedText(text) });
    } else if (/Processed|Defective/.test(name)) {
      const count = space.constructExtensionObject(counts, { id: 1, name: "parts", count: Number(text), accCount: Number(text) });
      write(new Variant({ dataType: DataType.ExtensionObject, arrayType: VariantArrayType.Array, value: [count] }));
    } else if (name === "filler.Blocked") {
      write({ dataType: DataType.Boolean, value: text === "true" });
    } else {
      const dataType = { "mill.Cycles": DataType.UInt32, "mill.ScrapBin": DataType.UInt32, "filler.Design": DataType.Float }[name] ?? DataType.Double;
      write({ dataType, value: Number(text) });
    }
  };
  return { set, pass };
}

module.exports = { NODESETS, addStandardMachines };
