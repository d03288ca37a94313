"""What is measured of the simulator, in the order of docs/results/simulator.md."""

import checkpoint_figure8
import control_figure6
import estimation_figure7
import gradient_accuracy
import identification
import laikago_tables
import manipulation_speed
import one_step_jacobian
import robots_figure3
import single_step
from measurement import Measurement

MEASUREMENTS: tuple[Measurement, ...] = (
    laikago_tables.MEASUREMENT,
    robots_figure3.MEASUREMENT,
    checkpoint_figure8.MEASUREMENT,
    single_step.MEASUREMENT,
    one_step_jacobian.MEASUREMENT,
    gradient_accuracy.MEASUREMENT,
    control_figure6.MEASUREMENT,
    estimation_figure7.MEASUREMENT,
    identification.MEASUREMENT,
    manipulation_speed.MEASUREMENT,
)
