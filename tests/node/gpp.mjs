// The IAB's own GPP library, asked line by line: {"op": "encode", "value": {section: {field: value}}} gives a string,
// {"op": "decode", "value": string} gives what the library reads in the sections that we read as well.
import { GppModel } from "@iabgpp/cmpapi";
import { answer } from "./lines.mjs";

const DATES = ["Created", "LastUpdated"];

function encode(sections) {
  const model = new GppModel();
  for (const [section, fields] of Object.entries(sections)) {
    for (const [field, value] of Object.entries(fields)) {
      model.setFieldValue(section, field, DATES.includes(field) ? new Date(value) : value);
    }
  }
  return model.encode();
}

function eu(model) {
  const read = (field) => model.getFieldValue("tcfeuv2", field);
  return {
    purposes: read("PurposeConsents"), interests: read("PurposeLegitimateInterests"), vendors: read("VendorConsents"),
    vendorInterests: read("VendorLegitimateInterests"), disclosed: read("VendorsDisclosed"), allowed: read("VendorsAllowed"),
    publisher: read("PublisherConsents"), created: read("Created").getTime(), version: read("Version"),
  };
}

function us(model, section, fields) {
  const core = model.getSection(section);
  return Object.fromEntries(fields.map((field) => [field, core[field] ?? null]));
}

const READERS = {
  tcfeuv2: eu,
  uspv1: (model) => us(model, "uspv1", ["Version", "OptOutSale"]),
  usnat: (model) => us(model, "usnat", ["Version", "SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut", "Gpc", "GpcSegmentIncluded"]),
  usca: (model) => us(model, "usca", ["Version", "SaleOptOut", "SharingOptOut", "Gpc", "GpcSegmentIncluded"]),
};

function decode(string) {
  const model = new GppModel(string);
  const found = { ids: model.getSectionIds() };
  for (const [section, read] of Object.entries(READERS)) {
    if (model.hasSection(section)) found[section] = read(model);
  }
  return found;
}

await answer({ encode, decode });
