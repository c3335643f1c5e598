//! Panels, in the schema of Grafana 11 and newer.

use serde_json::{Value, json};

/// How many columns Grafana's grid has.
pub(crate) const COLUMNS: u64 = 24;

/// How a panel shows its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stat,
    Lines,
    Stacked,
    Timeline,
    Table,
    Heatmap,
}

/// One panel; it is laid out by the row that it stands in.
#[derive(Debug)]
pub(crate) struct Panel {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    /// Each query with its legend.
    queries: Vec<(String, &'static str)>,
    /// From this value on the number is red.
    red_from: Option<f64>,
    /// Below 1 the number is red: for what should be up.
    red_at_zero: bool,
    /// What the columns of a table are called: the key that Grafana knows, and our word.
    columns: Vec<(&'static str, &'static str)>,
    /// Units of single columns of a table, by our word.
    column_units: Vec<(&'static str, &'static str)>,
    /// Where a click on the queue of a row of a table leads.
    row_link: Option<Value>,
    pub(crate) width: u64,
}

impl Panel {
    fn new(
        kind: Kind,
        title: &'static str,
        unit: &'static str,
        description: &'static str,
        width: u64,
    ) -> Self {
        Self {
            kind,
            title,
            description,
            unit,
            queries: Vec::new(),
            red_from: None,
            red_at_zero: false,
            columns: Vec::new(),
            column_units: Vec::new(),
            row_link: None,
            width,
        }
    }

    /// One large number.
    pub(crate) fn stat(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
        query: impl Into<String>,
    ) -> Self {
        Self::new(Kind::Stat, title, unit, description, 4).query(query, "")
    }

    /// Lines over time.
    pub(crate) fn lines(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Lines, title, unit, description, 12)
    }

    /// Areas over time, one upon the other: for parts of a whole.
    pub(crate) fn stacked(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Stacked, title, unit, description, 12)
    }

    /// Yes and no over time.
    pub(crate) fn timeline(title: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Timeline, title, "none", description, 12)
    }

    /// One row a series, one column a query.
    pub(crate) fn table(title: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Table, title, "none", description, COLUMNS)
    }

    /// How many of each size over time, from the buckets of a histogram.
    pub(crate) fn heatmap(
        title: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Heatmap, title, unit, description, 12)
    }

    /// Adds a query; in a table the legend is the column's name.
    pub(crate) fn query(mut self, query: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push((query.into(), legend));
        self
    }

    /// Red from this value on.
    pub(crate) fn red_from(mut self, value: f64) -> Self {
        self.red_from = Some(value);
        self
    }

    /// Red at zero.
    pub(crate) fn red_at_zero(mut self) -> Self {
        self.red_at_zero = true;
        self
    }

    /// Takes another part of the row's 24 columns.
    pub(crate) fn wide(mut self, width: u64) -> Self {
        self.width = width;
        self
    }

    /// Names columns of a table that are labels, in the order in which they stand.
    pub(crate) fn columns(mut self, columns: &[(&'static str, &'static str)]) -> Self {
        self.columns = columns.to_vec();
        self
    }

    /// The unit of one column of a table.
    pub(crate) fn column_unit(mut self, column: &'static str, unit: &'static str) -> Self {
        self.column_units.push((column, unit));
        self
    }

    /// Where a click on a row's queue leads.
    pub(crate) fn row_link(mut self, title: &str, url: &str) -> Self {
        self.row_link = Some(json!({ "title": title, "url": url }));
        self
    }

    pub(crate) fn height(&self) -> u64 {
        match self.kind {
            Kind::Stat => 4,
            Kind::Table => 9,
            Kind::Lines | Kind::Stacked | Kind::Timeline | Kind::Heatmap => 8,
        }
    }

    pub(crate) fn json(&self, id: u64, x: u64, y: u64) -> Value {
        let mut panel = json!({
            "id": id,
            "type": match self.kind {
                Kind::Stat => "stat",
                Kind::Lines | Kind::Stacked => "timeseries",
                Kind::Timeline => "state-timeline",
                Kind::Table => "table",
                Kind::Heatmap => "heatmap",
            },
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height() },
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "targets": self.targets(),
        });
        if let (Kind::Table, Some(panel)) = (self.kind, panel.as_object_mut()) {
            panel.insert("transformations".to_owned(), self.transformations());
        }
        panel
    }

    fn targets(&self) -> Vec<Value> {
        let letters = ('A'..='Z').map(String::from);
        let targets = self.queries.iter().zip(letters);
        targets
            .map(|((query, legend), letter)| {
                let instant = matches!(self.kind, Kind::Stat | Kind::Table);
                let format = match self.kind {
                    Kind::Table => "table",
                    Kind::Heatmap => "heatmap",
                    Kind::Stat | Kind::Lines | Kind::Stacked | Kind::Timeline => "time_series",
                };
                json!({
                    "refId": letter,
                    "datasource": datasource(),
                    "expr": query,
                    "legendFormat": legend,
                    "format": format,
                    "instant": instant,
                    "range": !instant,
                })
            })
            .collect()
    }

    fn defaults(&self) -> Value {
        let steps = match (self.red_from, self.red_at_zero) {
            (Some(value), _) => json!([
                { "color": "green", "value": null },
                { "color": "red", "value": value },
            ]),
            (None, true) => json!([
                { "color": "red", "value": null },
                { "color": "green", "value": 1 },
            ]),
            (None, false) => json!([{ "color": "text", "value": null }]),
        };
        let custom = match self.kind {
            Kind::Lines => json!({ "fillOpacity": 0, "lineWidth": 1, "showPoints": "never" }),
            Kind::Stacked => json!({
                "fillOpacity": 40, "lineWidth": 1, "showPoints": "never", "stacking": { "group": "A", "mode": "normal" },
            }),
            Kind::Timeline => json!({ "fillOpacity": 70, "lineWidth": 0 }),
            Kind::Table => json!({ "align": "auto", "filterable": true }),
            Kind::Stat | Kind::Heatmap => json!({}),
        };
        let mappings = if self.kind == Kind::Timeline {
            json!([{ "type": "value", "options": {
                "0": { "text": "no", "color": "green", "index": 0 },
                "1": { "text": "yes", "color": "orange", "index": 1 },
            } }])
        } else {
            json!([])
        };
        json!({
            "unit": self.unit,
            "color": { "mode": if self.kind == Kind::Lines || self.kind == Kind::Stacked { "palette-classic" } else { "thresholds" } },
            "thresholds": { "mode": "absolute", "steps": steps },
            "mappings": mappings,
            "custom": custom,
        })
    }

    fn overrides(&self) -> Vec<Value> {
        let mut overrides: Vec<Value> = self
            .column_units
            .iter()
            .map(|(column, unit)| {
                json!({
                    "matcher": { "id": "byName", "options": column },
                    "properties": [{ "id": "unit", "value": unit }],
                })
            })
            .collect();
        if let Some(link) = &self.row_link {
            overrides.push(json!({
                "matcher": { "id": "byName", "options": "Queue" },
                "properties": [{ "id": "links", "value": [link] }],
            }));
        }
        overrides
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Stat => json!({
                "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "value",
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            }),
            Kind::Lines | Kind::Stacked => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::Timeline => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
                "mergeValues": true, "rowHeight": 0.9, "showValue": "auto", "tooltip": { "mode": "single", "sort": "none" },
            }),
            Kind::Table => json!({
                "cellHeight": "sm", "showHeader": true, "sortBy": self.sorted_by(),
            }),
            Kind::Heatmap => json!({
                "calculate": false, "cellGap": 1, "color": { "mode": "scheme", "scheme": "Oranges", "reverse": false, "steps": 64, "exponent": 0.5, "fill": "dark-orange" },
                "exemplars": { "color": "rgba(255,0,255,0.7)" }, "filterValues": { "le": 1e-9 }, "legend": { "show": true },
                "rowsFrame": { "layout": "auto" }, "showValue": "never", "tooltip": { "mode": "single", "showColorScale": false, "yHistogram": false },
                "yAxis": { "axisPlacement": "left", "reverse": false, "unit": self.unit },
            }),
        }
    }

    /// The largest of the first query on top.
    fn sorted_by(&self) -> Vec<Value> {
        let first = self.queries.first().map(|(_, name)| *name);
        let first = first.filter(|name| !name.is_empty());
        first
            .map(|name| json!({ "displayName": name, "desc": true }))
            .into_iter()
            .collect()
    }

    /// One frame of all queries, without what nobody reads, under our words.
    fn transformations(&self) -> Value {
        let mut names = serde_json::Map::new();
        let mut places = serde_json::Map::new();
        let letters = ('A'..='Z').map(|letter| {
            // Grafana calls the value of the only query of a table `Value`.
            if self.queries.len() == 1 {
                "Value".to_owned()
            } else {
                format!("Value #{letter}")
            }
        });
        let labels = self
            .columns
            .iter()
            .map(|(key, name)| ((*key).to_owned(), *name));
        let values = letters.zip(self.queries.iter().map(|(_, legend)| *legend));
        let mut hidden = serde_json::Map::from_iter([("Time".to_owned(), json!(true))]);
        for (place, (key, name)) in labels.chain(values).enumerate() {
            if name.is_empty() {
                hidden.insert(key, json!(true));
                continue;
            }
            places.insert(key.clone(), json!(place));
            names.insert(key, json!(name));
        }
        json!([
            { "id": "merge", "options": {} },
            { "id": "organize", "options": { "excludeByName": hidden, "indexByName": places, "renameByName": names } },
        ])
    }
}

/// The data source that the reader chose.
pub(crate) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "$datasource" })
}
