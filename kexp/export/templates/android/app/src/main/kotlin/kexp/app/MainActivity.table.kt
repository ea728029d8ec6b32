package kexp.app

import android.os.Bundle
import android.text.InputType
import android.view.View
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.Spinner
import android.widget.TextView

/** A form with a field for each column, and what the network says of the row. */
class MainActivity : NetworkActivity() {
    private val fields = mutableListOf<Pair<Column, () -> String>>()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main_table)
        ready()
        val form = findViewById<LinearLayout>(R.id.form)
        for (column in spec.columns) addField(form, column)
        findViewById<Button>(R.id.run).setOnClickListener { answer() }
    }

    private fun addField(form: LinearLayout, column: Column) {
        val field = if (column.choices.isEmpty()) text(column) else choice(column)
        field.id = View.generateViewId() // a label names its field, and a field with an id is kept when the phone turns
        form.addView(
            TextView(this).apply {
                text = column.name
                textAlignment = View.TEXT_ALIGNMENT_VIEW_START
                labelFor = field.id
            },
        )
        form.addView(field)
    }

    private fun text(column: Column): View = EditText(this).apply {
        val signed = InputType.TYPE_NUMBER_FLAG_SIGNED or InputType.TYPE_NUMBER_FLAG_DECIMAL
        inputType = if (column.kind == "number") InputType.TYPE_CLASS_NUMBER or signed else InputType.TYPE_CLASS_TEXT
        if (column.kind == "date") hint = column.format.ifEmpty { "2001-12-31" }
        textAlignment = View.TEXT_ALIGNMENT_VIEW_START
        minimumHeight = touchable()
        fields += column to { text.toString() }
    }

    private fun choice(column: Column): View = Spinner(this).apply {
        val shown = listOf(getString(R.string.no_value)) + column.choices
        adapter = ArrayAdapter(context, android.R.layout.simple_spinner_dropdown_item, shown)
        contentDescription = column.name
        minimumHeight = touchable()
        fields += column to { if (selectedItemPosition <= 0) "" else column.choices[selectedItemPosition - 1] }
    }

    private fun touchable(): Int = (48 * resources.displayMetrics.density).toInt()

    private fun answer() {
        val row = fields.associate { (column, value) -> column.name to value() }
        val notes = mutableListOf<String>()
        val sample = Cells.encode(row, spec.columns) { column, oddity ->
            val note = when (oddity) {
                Oddity.UNKNOWN -> R.string.unknown_value
                Oddity.UNREADABLE -> R.string.unreadable_value
                Oddity.OUTSIDE -> R.string.outside_value
                Oddity.MISSING -> R.string.missing_value
            }
            notes += getString(note, column.name)
        }
        inBackground {
            val outputs = network.run(sample)
            runOnUiThread { show((listOf(describe(outputs)) + notes).joinToString("\n")) }
        }
    }
}
