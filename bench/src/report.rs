//! Markdown tables.

/// A table: the first column names the row.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        let numbers = self.columns.len().saturating_sub(1);
        writeln!(f, "| --- |{}", " ---: |".repeat(numbers))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_markdown() {
        let mut table = super::Table::new(["case", "a", "b"]);
        table.row(["x", "1", "2"]);
        assert_eq!(
            table.to_string(),
            "| case | a | b |\n| --- | ---: | ---: |\n| x | 1 | 2 |\n"
        );
    }
}
